"""A failover in a script of one's own: python failover.py --testbed testbed.yaml"""

from pyats import aetest
from pyats.topology import loader

from holdfast import cntrsrv


class CommonSetup(aetest.CommonSetup):
    @aetest.subsection
    def connect(self, testbed):
        testbed.devices["r1"].connect(via="holdfast", alias="holdfast")

    @aetest.subsection
    def start_a_container(self, testbed):
        containerz = testbed.devices["r1"].holdfast.containerz
        cntrsrv.write_archive("cntrsrv.tar")
        containerz.deploy("cntrsrv.tar", progress=False)
        containerz.start("web", image="cntrsrv_image:latest", ports={60061: 60061})


class ContainerComesThroughAFailover(aetest.Testcase):
    @aetest.test
    def fail_over(self, testbed, steps):
        dut = testbed.devices["r1"].holdfast
        before = dut.containerz.expect_container("web")
        with steps.start("switch over") as step:
            failover = dut.switchover()
            step.passed(f"{failover.origin} to {failover.target}, away for {failover.outage}")
        with steps.start("the same container runs on the new primary"):
            dut.containerz.expect_container("web", like=before)
        with steps.start("it answers"):
            dut.expect_answer(60061)


class CommonCleanup(aetest.CommonCleanup):
    @aetest.subsection
    def clean_up(self, testbed):
        dut = testbed.devices["r1"].holdfast
        dut.containerz.remove("web", force=True, missing_ok=True)
        dut.containerz.remove_image("cntrsrv_image:latest", missing_ok=True)
        testbed.devices["r1"].disconnect_all()


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--testbed", required=True)
    aetest.main(testbed=loader.load(parser.parse_args().testbed))
