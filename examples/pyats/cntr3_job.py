"""CNTR-3 as an easypy job: pyats run job cntr3_job.py --testbed-file testbed.yaml"""

from pyats.easypy import run

from holdfast.integrations import pyats_suite


def main(runtime):
    run(testscript=pyats_suite.__file__, runtime=runtime, device="r1", uids=pyats_suite.uids("cntr3"))
