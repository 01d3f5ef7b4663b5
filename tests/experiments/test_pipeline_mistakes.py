"""Mistakes in a configuration are found before anything is written."""

import pytest

from hwmodels.errors import UserError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('[data]\nname = "digts"', "digits"),
        ('[data]\nname = "mnist"', "data-dir"),
        ('[network]\nname = "digit-conv"', "digits-conv"),
        ('[device]\npreset = "yuan"', "yuan2019"),
        ('[hardware]\nlibrary = "isac"', "isaac-32nm"),
        ("[compress.prune.fc9]\ncolumn = 3", "fc9"),
        ("[compress.prune.fc1]\nfilter = 65", "65"),
        ("[compress.prune.fc1]\nkernel = 3", "Kernel prunes inside the kernels"),
        ("[compress.prune.fc1]\nn_m = '5:4'", r"^\[compress\.prune\.fc1\] .*5 of 4 is impossible"),
        ("[compress.prune.fc1]\nbalanced = 129", r"^\[compress\.prune\.fc1\] live = 129 .* rows = 128"),
        ("[compress.prune.fc1]\nn_m_axis = 'rows'", r"compress\.prune\.fc1\.n_m_axis .* give n_m as well"),
        ("[compress.prune.fc1]\npolarised_refresh = 2", "give polarised as well"),
        ("[compress]\nstart = 'nowhere'", "compress.start = 'nowhere': there is no .*finished run"),
        ("[compress.budget.'fc9*']\nkeep = 0.5", r"fc9\*"),
        ("[compress.budget.'fc*']\nkind = 'filter'\nkeep = 1", "leaves less than floor = 1"),
        ("[crossbar]\nslices = 9", "weight levels"),
        ("[crossbar]\nadc_bits = 12", "12-bit ADC .*ideal"),
        ("[crossbar]\ndac_bits = 5", "5-bit DAC"),
        ('[hardware]\nlibrary = "forms-32nm"', "8-bit ADC"),
        ("[hardware]\nnode_nm = 3.0", r"hardware\.node_nm = 3: .*from 7 to 180 nm"),
        ("[hardware.replicas]\nfc9 = 2", r"hardware\.replicas: there is no layer 'fc9'\. Did you mean 'fc"),
        ("[hardware]\nframe_rate_hz = 1e9", r"hardware\.frame_rate_hz = 1e\+09 is beyond the placement's full rate"),
        ('[crossbar]\nadc_bits = 3\n[hardware]\nadc_model = "andrulis"', r"hardware\.adc_model = 'andrulis'.*4 to 16"),
        ('[hardware]\nlibrary = "forms-32nm"\nadc_model = "isaac"', r"hardware\.adc_model = 'isaac'.*to scale"),
        ("seed = 4294967296", "less than 4294967296"),
        ("[crossbar]\ndac_bits = 9", "dac_bits"),
        ("[crossbar.adc_errors]\nnoise_lsb = -1.0", "noise_lsb"),
        ("[crossbar.adc_errors]\ninl_lsb = 300.0", "adc_errors: its INL .*not monotone"),
        ("[crossbar.dac_errors]\nofset_lsb = 1.0", "Did you mean 'offset_lsb'"),
        ("[crossbar]\nadc_range = 'percentile'", "needs adc_percentile"),
        ("[crossbar]\nadc_percentile = 0.0", "adc_percentile"),
        ('[device]\npreset = "neurram"\n[simulate]\nt_s = 1e9', "known up to 172800 s"),
        ("[device]\nstuck_at_lrs = 0.6\nstuck_at_hrs = 0.6", "stuck_at"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, change, message, run_small):
    path = tmp_path / "c.toml"
    path.write_text(change)
    with pytest.raises(UserError, match=message):
        run_small(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
