#!/bin/sh
# Makes a plain Debian look like an Ubuntu guest to the provisioning, without a network. Separate scripts do what only a container or
# only a virtual machine needs.
set -eu

# The test's certificate authority, and the names of the real hosts on the loopback address. cloud-init writes /etc/hosts from this
# template.
update-ca-certificates
echo "127.0.0.1 archive.ubuntu.com download.docker.com github.com release-assets.githubusercontent.com" \
  >>/etc/cloud/templates/hosts.debian.tmpl

mkdir -p /var/lib/cloud

# No package sources except those of the stand-ins, and no waiting for devices that a container lacks.
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
# Takes a lock as soon as the provisioning starts.
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
