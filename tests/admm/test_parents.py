import pytest

from admm import LayerPlan, Plan, Schedule
from admm.constraints import Unstructured
from admm.parents import search
from hwmodels.errors import UserError


def plans(rate):
    schedule = Schedule(admm_epochs=1, update_every=1, retrain_epochs=1, rho=0.1)
    return Plan(layers=(LayerPlan(name="*", prune=(Unstructured(1 / rate),)),), schedule=schedule)


def test_each_rate_comes_from_the_best_of_the_parents(convolutional, batches, evaluate, tmp_path):
    rates = (2.0, 3.0, 6.0, 12.0)
    found = search(convolutional, plans, rates, batches, evaluate, parents=2, checkpoint_dir=tmp_path)
    table = found.candidates
    assert table["rate"].tolist() == [2.0, 3.0, 6.0, 6.0, 12.0, 12.0]
    assert table["parent"].tolist()[:4] == [1.0, 1.0, 2.0, 3.0]
    for rate, group in table.groupby("rate"):
        assert group["chosen"].sum() == 1
        assert group.loc[group["chosen"], "score"].item() == group["score"].max()
        result = found.results[rate]
        assert result.violations() == {"levels": 0, "constraints": 0}
        parent = group.loc[group["chosen"], "parent"].item()
        if parent > 1:
            before = found.results[parent].masks
            assert all(not (mask & ~before[name]).any() for name, mask in result.masks.items())
    replaced = table.loc[(table["rate"] == 6.0) & table["chosen"], "parent"].item()
    assert sorted(table["parent"].tolist()[4:]) == sorted({2.0, 3.0, 6.0} - {replaced})
    assert len(list(tmp_path.iterdir())) == 6
    worst = search(convolutional, plans, rates[:3], batches, evaluate, parents=2, score=lambda m: -evaluate(m))
    assert worst.candidates["score"].between(-1, 0).all()


@pytest.mark.parametrize(("rates", "parents"), [((), 1), ((1.0, 2.0), 1), ((3.0, 2.0), 1), ((2.0,), 0)])
def test_rates_that_do_not_rise_are_named(rates, parents, convolutional, batches, evaluate):
    with pytest.raises(UserError, match="needs rising rates above 1"):
        search(convolutional, plans, rates, batches, evaluate, parents=parents)
