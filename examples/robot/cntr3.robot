*** Settings ***
Documentation       What a device runs comes through a control processor failover, in the words of CNTR-3's procedure.
...                 On an EMULATED device, unless one is named: robot --variable DEVICE:192.0.2.1 cntr3.robot
Library             holdfast.integrations.robot.HoldfastLibrary
Library             OperatingSystem
Suite Setup         Bring The Image
Suite Teardown      Leave The Device Clean

*** Variables ***
${DEVICE}           ${NONE}
${IMAGE}            cntrsrv_image:latest
${ARCHIVE}          %{TEMPDIR=/tmp}${/}holdfast-cntrsrv.tar
${PORT}             ${60061}

*** Test Cases ***
CNTR-3.1 Image Persistence
    Image Should Be There    ${IMAGE}
    Switch Over    redundant=True
    Image Should Be There    ${IMAGE}

CNTR-3.2 To 3.4 Container And Volume Persistence
    Create Volume    data
    Start Container    web    ${IMAGE}    port=${PORT}    volume=data
    Container Should Run    web
    Volume Should Be There    data
    Container Should Answer    ${PORT}
    ${failover}=    Switch Over    redundant=True
    Log    ${failover.target} is active, after ${failover.outage}
    Container Should Run    web
    Volume Should Be There    data
    Container Should Answer    ${PORT}

CNTR-3.6 Container Removal Persistence
    Stop Container    web
    Remove Container    web    force=True
    Remove Volume    data
    Container Should Not Be There    web
    Switch Over    redundant=True
    Container Should Not Be There    web
    Volume Should Not Be There    data

CNTR-3.5 Image Removal Persistence
    Remove Image    ${IMAGE}
    Switch Over    redundant=True
    Image Should Not Be There    ${IMAGE}

*** Keywords ***
Bring The Image
    IF    $DEVICE
        Connect To Device    ${DEVICE}
    ELSE
        Connect To Emulated Device
    END
    Write Test Container    ${ARCHIVE}
    Deploy Image    ${ARCHIVE}

Leave The Device Clean
    Disconnect
    Remove File    ${ARCHIVE}
