#!/bin/sh
# A host for test_torpedo_hosts.py: processes and mounts of its own, an engine, and the plugin of plugin_command.
# usage: torpedo_host.sh FOLDER power_on|power_off|kill_plugin|start_plugin|kill_runtime|start_runtime|live_restore_on|live_restore_off
set -eu
folder=$1
mkdir -p "$folder"

inside() { nsenter --target "$(cat "$folder/first")" --all -- "$@" < /dev/null; }

engine() {
  inside sh -c "rm -f /run/docker.pid; exec dockerd --iptables=false --ip-masq=false --bridge=none \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent=/$(basename "$(dirname "$folder")")/$(basename "$folder") \
    --data-root=$folder/data --host=unix://$folder/docker.sock --config-file=$folder/daemon.json" \
    >> "$folder/engine.log" 2>&1 &
  until docker --host "unix://$folder/docker.sock" version > /dev/null 2>&1; do sleep 0.05; done
}

plugin() {
  rm -f "$folder/plugin.sock"
  inside sh -c "echo \$\$ > $folder/plugin.pid; exec $(cat "$folder/plugin_command")" >> "$folder/plugin.log" 2>&1 &
  until [ -S "$folder/plugin.sock" ]; do sleep 0.05; done
}

live_restore() {
  echo "{\"live-restore\": $1}" > "$folder/daemon.json"
  inside pkill -HUP -x dockerd
  until docker --host "unix://$folder/docker.sock" info --format '{{.LiveRestoreEnabled}}' | grep -qx "$1"; do
    sleep 0.05
  done
}

case $2 in
power_on)
  setsid unshare --fork --kill-child --pid --mount-proc --mount sh -c 'tail -f /dev/null; exit' > /dev/null 2>&1 &
  until first=$(cat "/proc/$!/task/$!/children") && [ "$(cat "/proc/${first% }/comm" 2> /dev/null)" = sh ]; do
    sleep 0.02
  done
  echo "${first% }" > "$folder/first"
  echo '{}' > "$folder/daemon.json"
  inside sh -c "mount -t tmpfs tmpfs /run && mkdir -p /etc/docker && mount -t tmpfs tmpfs /etc/docker &&
    mkdir /etc/docker/plugins && echo unix://$folder/plugin.sock > /etc/docker/plugins/rclone.spec"
  plugin
  engine
  ;;
power_off) kill -KILL "$(cat "$folder/first")" ;;
kill_plugin) inside kill -KILL "$(cat "$folder/plugin.pid")" ;;
start_plugin) plugin ;;
kill_runtime) inside pkill -KILL -x dockerd ;;
start_runtime) engine ;;
live_restore_on) live_restore true ;;
live_restore_off) live_restore false ;;
esac
