"""A failover by hand, on the emulated device: `python examples/failover_by_hand.py`."""

import holdfast

with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
    for control_processor in dut.control_processors():
        print(control_processor.name, control_processor.role)
    holdfast.cntrsrv.write_archive("cntrsrv.tar")
    image = dut.containerz.deploy("cntrsrv.tar")
    dut.containerz.create_volume("ledger")
    dut.containerz.start("web", image=image, volumes={"ledger": "/data"}, ports={60061: 60061})
    before = dut.containerz.expect_container("web")
    move = dut.switchover(redundant=True)
    dut.containerz.expect_container("web", like=before)
    dut.expect_answer(60061)
    print(f"{move.origin} -> {move.target}, away for {move.outage.seconds if move.outage else 0:.2f} s")
    print(move.timeline)
