//! The settings in the schema of reports. The table describes them, because they are serialized as a map.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Map;

use super::Settings;
use super::keys::KEYS;
use super::layers::Shown;

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        for key in KEYS {
            let mut setting = generator.subschema_for::<Shown>();
            setting.insert("description".to_owned(), key.meaning.into());
            properties.insert(key.name.to_owned(), setting.to_value());
        }
        let with_default = KEYS.iter().filter(|key| key.default.is_some());
        let required: Vec<&str> = with_default.map(|key| key.name).collect();
        json_schema!({
            "description": "The settings that have a value, by name.",
            "type": "object",
            "properties": properties,
            "required": required,
        })
    }
}
