#!/bin/sh
# Turns a plain Debian into what an Ubuntu guest is to the provisioning, without any network. What only a container or
# only a virtual machine needs is in a script of its own.
set -eu

# The test's certificate authority, and the names of the real hosts on the loopback address. cloud-init writes
# /etc/hosts from this template.
update-ca-certificates
echo "127.0.0.1 archive.ubuntu.com download.docker.com github.com release-assets.githubusercontent.com" \
  >>/etc/cloud/templates/hosts.debian.tmpl

mkdir -p /var/lib/cloud

# No package source but those of the stand-ins, and none of the waits for what a container has not got.
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo "deb [trusted=yes] https://archive.ubuntu.com/ubuntu ./" >/etc/apt/sources.list
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/proof
cat >/etc/cloud/cloud.cfg.d/90_proof.cfg <<'CFG'
datasource_list: [ NoCloud, None ]
ssh_genkeytypes: [ ed25519 ]
locale: C.UTF-8
network: {config: disabled}
apt: {preserve_sources_list: true}
system_info: {default_user: {name: ubuntu, gecos: Ubuntu, groups: [adm, sudo]}}
CFG

cat >/etc/systemd/system/stand-in.service <<'CFG'
[Unit]
DefaultDependencies=no
Before=cloud-config.service
[Service]
ExecStart=/srv/stand-in/server.py
[Install]
WantedBy=sysinit.target
CFG
# Takes a lock at the first sign of the provisioning.
cat >/etc/systemd/system/stand-in-lock.service <<'CFG'
[Unit]
DefaultDependencies=no
ConditionPathExists=/srv/stand-in/hold-lock
[Service]
ExecStart=/srv/stand-in/hold-lock.py
[Install]
WantedBy=sysinit.target
CFG
systemctl enable stand-in.service stand-in-lock.service
systemctl disable apparmor.service
systemctl mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer
passwd --delete root
