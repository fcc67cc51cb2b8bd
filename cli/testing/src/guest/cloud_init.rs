//! `cloud-init status` in the guest.

use std::io;

use serde_json::json;

use super::tool::Tool;
use crate::process;
use crate::world::now;

/// What cloud-init says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Running,
    Done,
    Degraded,
    Error,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done | Self::Degraded => "done",
            Self::Error => "error",
        }
    }

    fn extended(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Degraded => "degraded done",
            Self::Error => "error - done",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Running | Self::Done => 0,
            Self::Error => 1,
            Self::Degraded => 2,
        }
    }
}

pub(super) fn run(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let Some((command, flags)) = args.split_first() else {
        return Ok(tool.refuse(
            1,
            "usage: cloud-init [-h] [--version] [--debug] {status,...} ...\n",
        ));
    };
    if command != "status" {
        return Ok(tool.refuse(2, &format!("cloud-init: not played: {command}\n")));
    }
    let (mut wait, mut json, mut long) = (false, false, false);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--wait" | "-w" => wait = true,
            "--long" | "-l" => long = true,
            "--format=json" => json = true,
            "--format" if flags.next().is_some_and(|format| format == "json") => json = true,
            other => {
                let text = format!("cloud-init: error: unrecognized arguments: {other}\n");
                return Ok(tool.refuse(2, &text));
            }
        }
    }
    let mut status = status(tool)?;
    while wait && status == Status::Running {
        if !json {
            tool.call.out(".");
        }
        std::thread::sleep(process::TICK);
        status = self::status(tool)?;
    }
    tool.call.out(&shown(status, json, long));
    Ok(status.code())
}

/// As it follows from the run of our provisioning.
fn status(tool: &Tool) -> io::Result<Status> {
    let state = tool.guest.store.look()?;
    let Some(instance) = state.find(&tool.guest.name) else {
        return Ok(Status::Error);
    };
    // A run that we started later is not cloud-init's.
    let run = instance.provision.as_ref().filter(|run| run.first);
    Ok(match run {
        Some(run) if !run.ended && now() >= instance.booted_at => Status::Running,
        _ if instance.cloud_init_failed => Status::Error,
        _ if instance.degraded => Status::Degraded,
        _ => Status::Done,
    })
}

fn shown(status: Status, json: bool, long: bool) -> String {
    let failure =
        "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))";
    let errors: Vec<&str> = match status {
        Status::Error => vec![failure],
        _ => Vec::new(),
    };
    if json {
        let recoverable = match status {
            Status::Degraded => {
                json!({ "DEPRECATED": ["cloud-config failed schema validation! permissions: not a string"] })
            }
            _ => json!({}),
        };
        let document = json!({
            "boot_status_code": "enabled-by-generator",
            "datasource": "nocloud",
            "detail": "DataSourceNoCloud [seed=/dev/sr0]",
            "errors": errors,
            "extended_status": status.extended(),
            "recoverable_errors": recoverable,
            "status": status.text(),
        });
        return format!("{document:#}\n");
    }
    if long {
        return format!(
            "status: {}\nextended_status: {}\nboot_status_code: enabled-by-generator\n\
             detail: DataSourceNoCloud [seed=/dev/sr0]\nerrors: {errors:?}\nrecoverable_errors: {{}}\n",
            status.text(),
            status.extended()
        );
    }
    format!("status: {}\n", status.text())
}
