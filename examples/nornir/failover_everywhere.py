"""A container and a failover on every device of an inventory: python failover_everywhere.py inventory/hosts.yaml"""

import sys

from nornir import InitNornir
from nornir.core.task import Result, Task

from holdfast import cntrsrv
from holdfast.integrations import nornir as devices


def container_comes_through(task: Task, archive: str) -> Result:
    """Deploy, start, fail over, and look."""
    task.run(devices.deploy, archive=archive)
    task.run(devices.start, container="web", image="cntrsrv_image:latest", ports={60061: 60061})
    before = task.run(devices.expect_container, container="web")[0].result
    failover = task.run(devices.switchover)[0].result
    task.run(devices.expect_container, container="web", like=before)
    task.run(devices.remove, container="web", force=True)
    task.run(devices.remove_image, image="cntrsrv_image:latest")
    return Result(host=task.host, result=f"{failover.target} is active after {failover.outage}")


def main() -> int:
    cntrsrv.write_archive("cntrsrv.tar")
    inventory = {"plugin": "SimpleInventory", "options": {"host_file": sys.argv[1]}}
    with InitNornir(inventory=inventory, runner={"plugin": "threaded"}, logging={"enabled": False}) as nornir:
        found = nornir.run(container_comes_through, archive="cntrsrv.tar")
        for host, results in found.items():
            print(f"{host}: {results[-1].exception or results[0].result}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
