#!/bin/sh
# A company's proxy, which intercepts TLS and requires a password: squid, in front of the stand-in's server.
#
#   proxy.sh setup    unpacks it from /proxy, and creates its certificate authority, /srv/company.crt
#   proxy.sh run      runs it on port 3128, logging requests to /var/log/squid/access.log
set -eu

case $1 in
setup)
  for package in /proxy/*.deb; do dpkg --extract "$package" /; done
  ldconfig
  mkdir -p /var/log/squid /etc/squid
  chown proxy: /var/log/squid
  openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj /CN=Company \
    -keyout /etc/squid/company.key -out /srv/company.crt
  cat /srv/company.crt /etc/squid/company.key >/etc/squid/company.pem
  /usr/lib/squid/security_file_certgen -c -s /var/lib/ssl_db -M 4MB
  chown -R proxy: /var/lib/ssl_db
  printf 'me:%s\n' "$(openssl passwd -apr1 'p@ss')" >/etc/squid/users
  cat >/etc/squid/squid.conf <<'CONF'
http_port 3128 ssl-bump tls-cert=/etc/squid/company.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program /usr/lib/squid/security_file_certgen -s /var/lib/ssl_db -M 4MB
acl first at_step SslBump1
ssl_bump peek first
ssl_bump bump all
auth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/squid/users
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
access_log stdio:/var/log/squid/access.log
pid_filename none
CONF
  ;;
run)
  echo "127.0.0.1 archive.ubuntu.com download.docker.com github.com release-assets.githubusercontent.com" >>/etc/hosts
  /srv/stand-in/server.py &
  exec squid-openssl -N
  ;;
esac
