//! A tool's JSON schema, made from the Rust type that reads its arguments. Must never be written by hand.
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The schema without title, references and dialect: what strict tool use takes.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(fields) = schema.as_object_mut() {
        // The type's name and its doc comment are for us; the tool's description is for the model.
        fields.remove("title");
        fields.remove("description");
    }
    schema
}
