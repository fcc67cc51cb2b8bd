#!/bin/sh
# Adapts a guest in a virtual machine: a kernel that finds its disk, a network with only the emulator in it, and a way to log in.
set -eu

dpkg --unpack --force-depends /srv/kernel/*.deb
cat >/etc/initramfs-tools/conf.d/proof <<'CFG'
MODULES=list
COMPRESS=gzip
CFG
printf '%s\n' virtio_pci virtio_blk ext4 rtc_cmos >>/etc/initramfs-tools/modules
dpkg --configure --pending
rm -r /srv/kernel

cat >/etc/systemd/network/eth0.network <<'CFG'
[Match]
Name=eth0
[Network]
Address=10.0.2.15/24
CFG
systemctl enable systemd-networkd.service

# As root, only from the emulator's side of that network; the key is created together with the disk.
ssh-keygen -q -t ed25519 -N '' -f /srv/stand-in/key
mv /srv/stand-in/key.pub /srv/stand-in/authorized_keys
printf 'AuthorizedKeysFile /srv/stand-in/authorized_keys\nUseDNS no\n' >/etc/ssh/sshd_config.d/proof.conf

# As in Ubuntu 24.04, auditd loads its rules only when it starts.
mkdir -p /etc/systemd/system/audit-rules.service.d
printf '[Service]\nRemainAfterExit=yes\n' >/etc/systemd/system/audit-rules.service.d/proof.conf
