#!/bin/sh
# Adapts a guest in a container, which does not have its own kernel.
set -eu

# Daemons that use kernel interfaces that a container lacks: the unit runs, but does not use the kernel.
mkdir -p /etc/systemd/system/auditd.service.d /etc/systemd/system/apparmor.service.d
cat >/etc/systemd/system/auditd.service.d/proof.conf <<'CFG'
[Service]
Type=simple
PIDFile=
ExecStart=
ExecStart=/bin/sleep infinity
CFG
cat >/etc/systemd/system/apparmor.service.d/proof.conf <<'CFG'
[Unit]
ConditionSecurity=
AssertPathIsReadWrite=
[Service]
ExecStart=
ExecStart=/bin/true
CFG
mkdir -p /usr/sbin
dpkg-divert --quiet --rename --divert /usr/sbin/auditctl.real --add /usr/sbin/auditctl
cp /srv/stand-in/auditctl /usr/sbin/auditctl

