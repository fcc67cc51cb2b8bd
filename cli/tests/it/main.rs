//! Runs the real `polis` as users do: on its own, and on Linux against a fake Multipass.

#[cfg(target_os = "linux")]
mod agents;
#[cfg(target_os = "linux")]
mod ahead;
mod alone;
#[cfg(target_os = "linux")]
mod architecture;
#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod copy;
#[cfg(target_os = "linux")]
mod examples;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod filling;
#[cfg(target_os = "linux")]
mod fix;
#[cfg(target_os = "linux")]
mod hostile;
mod imports;
#[cfg(target_os = "linux")]
mod killed;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod looking;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod ports;
#[cfg(target_os = "linux")]
mod proxy;
#[cfg(target_os = "linux")]
mod screen;
#[cfg(target_os = "linux")]
mod security;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod snapshots;
#[cfg(target_os = "linux")]
mod ssh;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
mod status;
#[cfg(target_os = "linux")]
mod support;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod tidy;
#[cfg(target_os = "linux")]
mod trust;
#[cfg(target_os = "linux")]
mod update;
#[cfg(target_os = "linux")]
mod ways;
#[cfg(target_os = "linux")]
mod work;
