//! The wire's types as JSON schemas, for `openapi.json`. Their descriptions are the types' doc comments.
//!
//! `schemars` derives them; `tidy` brings them into the shape that OpenAPI tools expect and people read: an
//! optional field is one that may be missing, an `enum` is a list of words, and numbers have the formats that
//! OpenAPI names.

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::wire::calls::*;
use crate::wire::documents::{CheckedIn, GrantList, GrantRequest};
use crate::wire::session::*;
use crate::wire::text::Base64;
use crate::{Code, Problem, fs_calls};

/// A plain call as `openapi.json` must describe it.
pub struct PlainCall {
    /// Where it is `POST`ed to.
    pub path: &'static str,
    /// Its request's schema.
    pub request: Cow<'static, str>,
    /// Its answer's schema.
    pub answer: Cow<'static, str>,
}

macro_rules! plain {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => {
        /// Every plain call of the table.
        pub fn plain_calls() -> Vec<PlainCall> {
            vec![$(PlainCall {
                path: call::$name.url.path,
                request: <$request>::schema_name(),
                answer: <$answer>::schema_name(),
            },)*]
        }

        fn add_plain(generator: &mut SchemaGenerator) {
            $(
                generator.subschema_for::<$request>();
                generator.subschema_for::<$answer>();
            )*
        }
    };
}

fs_calls!(plain);

/// What belongs under `components.schemas`, by name.
pub fn components() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.transforms = vec![Box::new(RecursiveTransform(tidy))];
    });
    let mut generator = settings.into_generator();
    add_plain(&mut generator);
    macro_rules! add {
        ($($type:ty)*) => { $(generator.subschema_for::<$type>();)* };
    }
    add! { Event Problem Health ChallengeRequest ChallengeResponse LoginRequest LoginResponse }
    add! { CheckedIn GrantRequest GrantList }
    generator.take_definitions(true)
}

/// One schema, its parts aside.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::String(words)) = object.get_mut("description") {
        *words = plain_words(words);
    }
    as_words(object);
    without_null(object);
    match object.get("format").and_then(Value::as_str) {
        Some("uint64") => drop(object.insert("format".into(), "int64".into())),
        Some("uint16" | "uint32") => drop(object.remove("format")),
        _ => {}
    }
}

/// A doc comment without its line breaks and links.
fn plain_words(words: &str) -> String {
    let paragraphs = words.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    let text = paragraphs.collect::<Vec<_>>().join("\n\n");
    text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`")
}

/// Variants that are words become one `enum`, and their descriptions go into its own.
fn as_words(object: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = object.get("oneOf") else { return };
    let Some(words) =
        variants.iter().map(|variant| variant.get("const").cloned()).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let described = variants.iter().filter_map(|variant| {
        let words = plain_words(variant.get("description")?.as_str()?);
        Some(format!("`{}`: {}", variant.get("const")?.as_str()?, words))
    });
    let own = object.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let description = std::iter::once(own).chain(described).collect::<Vec<_>>().join(" ");
    object.remove("oneOf");
    object.insert("type".into(), "string".into());
    object.insert("enum".into(), Value::Array(words));
    object.insert("description".into(), description.trim().into());
}

/// What is `None` is left out, never `null`.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            object.extend(one);
        }
    }
}

impl JsonSchema for Base64 {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "byte" })
    }
}

/// Its words with the status of each.
impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Code::EVERY.iter().map(|code| code.as_str()).collect();
        let statuses: Vec<_> = Code::EVERY.iter().map(|code| format!("{code} {}", code.status())).collect();
        json_schema!({
            "type": "string",
            "enum": words,
            "description": format!("What programs decide by. The status of each: {}.", statuses.join(", ")),
        })
    }
}
