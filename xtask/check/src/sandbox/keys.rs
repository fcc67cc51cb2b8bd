//! The keys of a service that need no row, and the reasons for those that have none.

/// Keys of a service that give it no power, so that any value will do, and why.
pub const FREE: &[(&str, &str)] = &[
    (
        "cap_drop",
        "only takes away; that it takes all is the rule `cap-drop`",
    ),
    ("cpus", "a limit"),
    ("depends_on", "an order"),
    (
        "healthcheck",
        "runs in the container, as its user; that there is one is the rule `healthcheck`",
    ),
    ("image", "the rules on pins judge it"),
    ("init", "Docker's own first process"),
    ("logging", "the rule `log-limit` judges it"),
    ("mem_limit", "a limit; the rule `memory-limit` judges it"),
    ("pids_limit", "a limit; the rule `pids-limit` judges it"),
    ("stop_grace_period", "a time"),
    ("stop_signal", "reaches the container's own first process"),
];

/// Why some keys are in no row.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "annotations",
        "they switch on features of the runtime that no other key shows",
    ),
    ("build", "only the image of `services/init` is built here"),
    ("cap_add", "add the one capability that it needs to its row"),
    (
        "cgroup",
        "the host's control groups would let it lift its own limits",
    ),
    ("cgroup_parent", "its own control group is what limits it"),
    (
        "configs",
        "a configuration is a mount that the rows do not show",
    ),
    (
        "credential_spec",
        "an identity of the host has no place in a container",
    ),
    (
        "develop",
        "watched files would be copied past the mounts that the row allows",
    ),
    ("device_cgroup_rules", "a device is a way to the kernel"),
    ("devices", "a device is a way to the kernel"),
    (
        "env_file",
        "variables that the row does not show may hold secrets of the machine",
    ),
    ("extends", "it brings in keys that are not in this file"),
    (
        "external_links",
        "it would join containers outside the stack",
    ),
    (
        "extra_hosts",
        "names are resolver's to answer; `host-gateway` is the machine",
    ),
    ("gpus", "a device is a way to the kernel"),
    ("group_add", "a group of the host may own its sockets"),
    ("ipc", "shared memory is a channel past gate"),
    ("labels", "other programs on the machine act on labels"),
    ("models", "it brings in a service that is not in this file"),
    (
        "network_mode",
        "it would be on a network that gate does not see",
    ),
    ("pid", "it would see and signal the processes of others"),
    (
        "ports",
        "only the forwarder is reached from outside the machine",
    ),
    ("post_start", "a hook runs with rights of its own"),
    ("pre_start", "a hook runs with rights of its own"),
    ("pre_stop", "a hook runs with rights of its own"),
    ("privileged", "add the one capability that it needs"),
    ("provider", "it runs a program on the machine"),
    (
        "runtime",
        "only the workspace has another runtime, which gives it a user namespace",
    ),
    ("use_api_socket", "the Docker socket is root on the host"),
    (
        "userns_mode",
        "root in the container would be root on the host",
    ),
    ("uts", "the host's name is not the container's to change"),
    (
        "volumes_from",
        "it brings in mounts that the row does not show",
    ),
];
