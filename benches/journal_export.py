"""Prints entries as a Kubernetes node's journal has them, in the export format, for `systemd-journal-remote`:

    python3 benches/journal_export.py 1000000 | systemd-journal-remote -o /tmp/journal/bench.journal -

About 800 bytes of journal each, of 40 units; two of them write a twentieth of all.
"""

import random
import sys

random.seed(11)
count = int(sys.argv[1])
out = sys.stdout
boot = "0123456789abcdef0123456789abcdef"
units = [f"unit-{n:02}.service" for n in range(38)] + ["kubelet.service", "containerd.service"]
weights = [95 / 38] * 38 + [2.5, 2.5]
words = "pod container volume mount sync loop status probe failed ready image pull started deleted network".split()
for number in range(count):
    unit = random.choices(units, weights)[0]
    pid = 1000 + units.index(unit) + number // 200_000 * 100
    text = " ".join(random.choices(words, k=14))
    out.write(
        f"__REALTIME_TIMESTAMP={1_700_000_000_000_000 + number * 700}\n__MONOTONIC_TIMESTAMP={5_000_000 + number * 700}\n"
        f"_BOOT_ID={boot}\n_MACHINE_ID=3d1219c7c4c5404aaa1f6d2a48adfda4\n_HOSTNAME=ip-10-0-0-1.ec2.internal\nPRIORITY=6\n"
        f"SYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER={unit[:-8]}\n_UID=0\n_GID=0\n_TRANSPORT=stdout\n_CAP_EFFECTIVE=1ffffffffff\n"
        f"_SELINUX_CONTEXT=system_u:system_r:unconfined_service_t:s0\n_SYSTEMD_CGROUP=/system.slice/{unit}\n_SYSTEMD_SLICE=system.slice\n"
        f"_SYSTEMD_UNIT={unit}\n_PID={pid}\n_COMM={unit[:-8]}\n_EXE=/usr/bin/{unit[:-8]}\n"
        f"_CMDLINE=/usr/bin/{unit[:-8]} --config=/etc/{unit[:-8]}/config.yaml --v=2\n_STREAM_ID={pid:032x}\n"
        f"_SYSTEMD_INVOCATION_ID={pid * 7:032x}\nMESSAGE=I{number:08} {text} uid={random.getrandbits(64):016x}\n\n"
    )
