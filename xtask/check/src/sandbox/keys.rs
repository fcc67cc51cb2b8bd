//! The keys of a service that the table does not restrict, and reasons for those that it does not allow.

/// Keys that grant nothing, so any value is allowed, each with the reason.
pub const FREE: &[(&str, &str)] = &[
    (
        "cap_drop",
        "only takes capabilities away; the rule `cap-drop` requires all",
    ),
    ("cpus", "a limit"),
    ("depends_on", "an order"),
    (
        "healthcheck",
        "runs in the container as its user; the rule `healthcheck` requires one",
    ),
    ("image", "the rules on pins check it"),
    ("init", "Docker's own first process"),
    ("logging", "the rule `log-limit` checks it"),
    ("mem_limit", "a limit; the rule `memory-limit` checks it"),
    ("pids_limit", "a limit; the rule `pids-limit` checks it"),
    ("stop_grace_period", "a time"),
    (
        "stop_signal",
        "is sent to the container's own first process",
    ),
];

/// Reasons for keys that no row allows.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "annotations",
        "they enable features of the runtime that no other key shows",
    ),
    ("build", "only the image of `services/init` is built here"),
    ("cap_add", "add the one capability that it needs to its row"),
    (
        "cgroup",
        "with the host's control groups it could lift its own limits",
    ),
    (
        "cgroup_parent",
        "its limits belong to its own control group",
    ),
    ("configs", "a config is a mount that the rows do not show"),
    (
        "credential_spec",
        "a container must not have an identity of the host",
    ),
    ("develop", "watched files bypass the mounts of the row"),
    ("device_cgroup_rules", "a device exposes kernel drivers"),
    ("devices", "a device exposes kernel drivers"),
    (
        "env_file",
        "it sets variables that the row does not show, and that may be secrets of the VM",
    ),
    ("extends", "it adds keys that are not in this file"),
    (
        "external_links",
        "it connects to containers outside of the stack",
    ),
    (
        "extra_hosts",
        "resolver answers for names, and `host-gateway` is the VM",
    ),
    ("gpus", "a device exposes kernel drivers"),
    ("group_add", "a group of the host may own its sockets"),
    ("ipc", "shared memory bypasses gate"),
    ("labels", "other programs in the VM act on labels"),
    ("models", "it adds a service that is not in this file"),
    ("network_mode", "its traffic would bypass gate"),
    ("pid", "it could see and signal foreign processes"),
    ("ports", "only the forwarder publishes ports"),
    ("post_start", "a hook has its own user and privileges"),
    ("pre_start", "a hook has its own user and privileges"),
    ("pre_stop", "a hook has its own user and privileges"),
    ("privileged", "add the one capability that it needs"),
    ("provider", "it runs a program in the VM"),
    (
        "runtime",
        "only the workspace has another runtime, Sysbox, for its user namespace",
    ),
    (
        "use_api_socket",
        "anyone who can write to the Docker socket is root on the host",
    ),
    (
        "userns_mode",
        "root in the container would be root on the host",
    ),
    ("uts", "it could change the host name of the VM"),
    ("volumes_from", "it adds mounts that the row does not show"),
];
