#!/bin/sh
# What a guest in a container needs besides: the kernel is not its own.
set -eu

# Daemons of the kernel's faces that a container does not have: the unit runs, the kernel is not asked.
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

