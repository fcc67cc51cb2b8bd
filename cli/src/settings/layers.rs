//! One setting read from its layers, and how it is shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::proxy::url;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Origin {
    Default,
    /// The configuration file.
    File,
    Environment,
    /// The command line.
    Flag,
}

impl Origin {
    /// How `status` names the origin of the setting `name`.
    pub(crate) fn words(self, name: &str) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File => "config.toml".to_owned(),
            Self::Environment => variable(name),
            Self::Flag => format!("--{name}"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// A setting as it is shown, without the password that a URL may hold.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Setting"))]
pub(crate) struct Shown {
    #[serde(skip)]
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl Shown {
    pub(super) fn new(name: &'static str, value: &dyn fmt::Display, origin: Origin) -> Self {
        let value = url::masked(&value.to_string());
        Self {
            name,
            value,
            origin,
        }
    }
}

/// The texts of one run's settings, before they are parsed.
pub(super) struct Layers<'a> {
    pub(super) file: BTreeMap<String, String>,
    /// The path of the configuration file.
    pub(super) path: String,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) flags: &'a [(&'static str, Option<String>)],
}

pub(super) type Parse<T> = fn(&str) -> std::result::Result<T, String>;

impl Layers<'_> {
    /// The last layer that sets `name`; none if they leave it at its default.
    pub(super) fn get<T>(&self, name: &str, parse: Parse<T>) -> Result<Option<Sourced<T>>> {
        let variable = variable(name);
        let flag = self.flags.iter().find(|(known, _)| *known == name);
        let layers = [
            (
                self.file.get(name).cloned(),
                Origin::File,
                self.path.clone(),
            ),
            ((self.env)(&variable), Origin::Environment, variable),
            (
                flag.and_then(|(_, value)| value.clone()),
                Origin::Flag,
                format!("--{name}"),
            ),
        ];
        let mut last = None;
        for (text, origin, place) in layers {
            let value = text.as_deref().map(parse).transpose();
            let value = value.map_err(|reason| invalid(name, &place, &reason))?;
            last = value.map(|value| Sourced { value, origin }).or(last);
        }
        Ok(last)
    }

    /// As [`Layers::get`], with `default` below all layers.
    pub(super) fn get_or<T>(
        &self,
        name: &str,
        default: &str,
        parse: Parse<T>,
    ) -> Result<Sourced<T>> {
        let default = parse(default).map_err(|reason| invalid(name, "the defaults", &reason))?;
        let value = self.get(name, parse)?;
        Ok(value.unwrap_or(Sourced {
            value: default,
            origin: Origin::Default,
        }))
    }
}

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("POLIS_{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn invalid(name: &str, place: &str, reason: &str) -> Box<Error> {
    Error::new(Kind::Usage, format!("invalid setting {name}: {reason}"))
        .because(format!("it is set by {place}"))
        .next("polis start --help")
}
