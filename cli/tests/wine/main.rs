//! The real `polis.exe`, run by Wine against a `multipass.exe`: what only Windows' users would meet otherwise.

#[cfg(target_os = "linux")]
mod alone;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod whole;
