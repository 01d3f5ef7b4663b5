"""A sweep on a SLURM cluster: `python slurm.py CONFIG --jobs 64 --out DIR …`; copy this file and change it as you like.

Run it where jobs can reach it over the network and where it may stay as long as the sweep (a login node under `tmux`,
or a job of its own). Needs `pip install "ohmweave[cluster]" dask-jobqueue` in the environment that it runs in; jobs use
the same Python. DIR lies on a file system that all nodes see: the store of finished stages is in it.

Each job is one worker with one thread. A job that SLURM ends at its time limit costs what that worker was doing since
its last epoch or chip; give the same command again to go on after this script itself was ended. Everything behind the
flags below goes to `ohmweave sweep` as it stands.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from dask_jobqueue import SLURMCluster  # pyright: ignore[reportMissingImports]

ONE_THREAD = "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1"


def cluster(flags: argparse.Namespace) -> SLURMCluster:
    """A scheduler in this process; its jobs are not submitted yet."""
    return SLURMCluster(
        queue=flags.partition,
        account=flags.account,
        interface=flags.interface,
        cores=1,
        processes=1,
        memory=flags.memory,
        walltime=flags.walltime,
        log_directory=flags.logs,
        job_script_prologue=[ONE_THREAD, *flags.prologue],
        scheduler_options={"dashboard_address": ":0"},
    )


def arguments() -> argparse.ArgumentParser:
    """The flags of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=16, help="workers, each a SLURM job of one core")
    parser.add_argument("--memory", default="4GB", help="of a job")
    parser.add_argument("--walltime", default="04:00:00", help="of a job")
    parser.add_argument("--partition", help="default: that of the cluster")
    parser.add_argument("--account", help="default: your own")
    parser.add_argument("--interface", help="network that nodes share, such as ib0; default: the first")
    parser.add_argument("--logs", default="slurm-logs", help="folder of the jobs' output")
    parser.add_argument("--prologue", action="append", default=[], help="a line of the job's script, such as a module")
    return parser


def main() -> int:
    """Submit the jobs, run the sweep on them, and end them; the exit code is that of the sweep."""
    flags, sweep = arguments().parse_known_args()
    with cluster(flags) as jobs:
        print(jobs.job_script())
        jobs.scale(jobs=flags.jobs)
        # The sweep waits a minute for a first worker: a queue may take longer, so wait here.
        print(f"waiting for a first job of {flags.jobs} at {jobs.scheduler_address}", flush=True)
        jobs.wait_for_workers(1)
        command = [sys.executable, "-m", "experiments.cli", "sweep", *sweep, "--scheduler", jobs.scheduler_address]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
