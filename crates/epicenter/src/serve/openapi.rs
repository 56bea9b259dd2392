//! What the API promises, as OpenAPI 3.1 (`/api/v1/openapi.json`), and the same as a page (`/api`).
//!
//! The page is made from the document, so that there is one text of each thing. Tests hold every answer against its schema, in which they
//! allow nothing that is not written down.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::api::{HISTORY_MAX, LIMIT, LIMIT_MAX, SOUGHT_MAX, json_hashed};
use super::config::Config;
use super::console::TEXT_MAX;
use super::http::{App, language};
use super::pages::layout::{self, Frame};
use super::report::{COMMENT_MAX, WORK_MAX};
use crate::page::clean;

const SLUG: &str = "^[a-z0-9][a-z0-9-]{0,79}$";
const CAUSES: [&str; 6] = [
    "attack",
    "own-fault",
    "neighbour",
    "brigade",
    "provider",
    "unknown",
];
/// Services whose symptoms are written down.
const REPORTABLE_MAX: usize = 200;
const CURSOR: &str = "^[0-9]{1,19}\\.[a-z0-9-]{1,80}$";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/openapi.json", get(json_document))
        .route("/api", get(page))
}

async fn json_document(State(app): State<App>, headers: HeaderMap) -> axum::response::Response {
    // Not with a media type of its own: this one browsers show, and tools know.
    json_hashed(&headers, &document(&app.state.config.load()), 300)
}

async fn page(State(app): State<App>, headers: HeaderMap) -> axum::response::Response {
    let config = app.state.config.load();
    let page = layout::page(&Frame {
        title: "API".into(),
        config: &config,
        language: language(&app, &headers, None),
        live: None,
        query: "",
        is_public: true,
        main: render(&document(&config)),
    });
    ([(header::CACHE_CONTROL, "public, max-age=300")], Html(page)).into_response()
}

/// An object of which all is always there.
fn object(description: &str, properties: Value) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .map_or(Vec::new(), |map| map.keys().collect());
    json!({ "type": "object", "description": description, "required": required, "properties": properties })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn of(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn or_null(mut schema: Value) -> Value {
    if schema.get("$ref").is_some() {
        return json!({ "anyOf": [schema, { "type": "null" }] });
    }
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn moment(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn one_of(description: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words, "description": description })
}

/// What may be answered where a request is refused.
fn refusals(codes: &[u16]) -> Map<String, Value> {
    codes
        .iter()
        .map(|code| {
            let name = match code {
                400 => "BadRequest",
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                413 => "TooLarge",
                415 => "MediaType",
                422 => "Invalid",
                429 => "TooMany",
                500 => "Unreadable",
                _ => "Busy",
            };
            (
                code.to_string(),
                json!({ "$ref": format!("#/components/responses/{name}") }),
            )
        })
        .collect()
}

fn content(schema: &Value, example: Option<Value>) -> Value {
    let mut content = json!({ "schema": schema });
    if let Some(example) = example {
        content["example"] = example;
    }
    json!({ "application/json": content })
}

/// A question: its parameters, the answer, and the refusals.
fn ask(
    tag: &str,
    id: &str,
    summary: &str,
    parameters: &[&str],
    schema: &Value,
    example: Option<Value>,
    codes: &[u16],
) -> Value {
    let mut responses = refusals(codes);
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "What was asked for.",
            "headers": {
                "ETag": { "$ref": "#/components/headers/ETag" },
                "Cache-Control": { "$ref": "#/components/headers/Cache-Control" },
            },
            "content": content(schema, example),
        }),
    );
    responses.insert(
        "304".to_owned(),
        json!({
            "description": "It is what `If-None-Match` names.",
            "headers": { "ETag": { "$ref": "#/components/headers/ETag" } },
        }),
    );
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }))
        .collect();
    json!({ "get": {
        "tags": [tag], "operationId": id, "summary": summary, "parameters": parameters, "responses": responses,
    } })
}

/// The whole document. What may be reported depends on the services.
pub(crate) fn document(config: &Config) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Epicenter tracker",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Is it down, for whom, since when, and why",
            "description": "What the tracker knows of its services, as JSON. Times are RFC 3339 in UTC; shares carry their 95 % interval. \
                Answers may get more fields; none changes its meaning. Refusals are application/problem+json (RFC 9457). Traffic and \
                reports show where packets and people are, and never who is behind an attack.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/", "description": "This tracker" }],
        "tags": [
            { "name": "services", "description": "How services are." },
            { "name": "incidents", "description": "When they were in trouble, and why." },
            { "name": "reports", "description": "Saying that something does not work." },
            { "name": "probes", "description": "For agents that try services from other places." },
            { "name": "operate", "description": "What operators do, for their programs." },
            { "name": "statuspage", "description": "The public API of Atlassian Statuspage, version 2, for clients that know it." },
            { "name": "about", "description": "This document." },
        ],
        "paths": paths(config),
        "components": {
            "schemas": schemas(config),
            "parameters": parameters(),
            "responses": responses(),
            "headers": {
                "ETag": {
                    "description": "Names this answer; send it as `If-None-Match`.", "required": true, "schema": { "type": "string" },
                },
                "Cache-Control": { "description": "How long it may be kept.", "required": true, "schema": { "type": "string" } },
                "Retry-After": { "description": "Seconds.", "required": true, "schema": { "type": "integer", "minimum": 1 } },
                "WWW-Authenticate": { "description": "`Bearer`, and what is wanted of it.", "required": true, "schema": { "type": "string" } },
            },
            "securitySchemes": {
                "probes": { "type": "http", "scheme": "bearer", "description": "A token that is good for `probes`." },
                "operate": { "type": "http", "scheme": "bearer", "description": "A token that is good for `operate`." },
            },
        },
    })
}

fn paths(config: &Config) -> Value {
    let mut paths = json!({
        "/api/v1/services": ask("services", "listServices", "Services by slug, and how they are",
            &["q", "standing", "limit", "service_cursor"], &of("Services"), None, &[422, 503]),
        "/api/v1/services/{slug}": ask("services", "getService", "All that is known of a service now and of the last day",
            &["slug"], &of("Service"), None, &[404, 503]),
        "/api/v1/services/{slug}/history": ask("services", "getHistory",
            "Quarters of an hour of a service, the last day where nothing is named; those that are missing have no reports and no probes",
            &["slug", "from", "to"], &of("History"), Some(json!({
                "service": "shop", "from": "2025-03-10T09:00:00Z", "to": "2025-03-10T09:30:00Z", "bin_seconds": 900,
                "bins": [{ "start": "2025-03-10T09:15:00Z", "reports": 4, "tried": 15, "failed": 1 }], "next": null,
            })), &[404, 422, 500, 503]),
        "/api/v1/incidents": ask("incidents", "listIncidents", "Incidents, the newest first",
            &["service", "since", "limit", "incident_cursor"], &of("Incidents"), None, &[422, 503]),
        "/api/v1/incidents/{id}": ask("incidents", "getIncident", "An incident",
            &["id"], &of("Incident"), None, &[404, 500, 503]),
        "/api/v1/openapi.json": ask("about", "getDocument", "This document", &[], &json!({
            "type": "object", "required": ["openapi", "info", "paths"],
            "properties": {
                "openapi": { "type": "string", "const": "3.1.0" }, "info": { "type": "object" }, "paths": { "type": "object" },
            },
        }), None, &[503]),
        "/api/v1/reports": { "post": report(config) },
    });
    let statuspage = [
        (
            "/api/v2/summary.json",
            "getSummary",
            "Status, components and open incidents",
            "StatuspageSummary",
        ),
        (
            "/api/v2/status.json",
            "getStatus",
            "The status of everything in one word",
            "StatuspageStatus",
        ),
        (
            "/api/v2/components.json",
            "getComponents",
            "Components: our services",
            "StatuspageComponents",
        ),
        (
            "/api/v2/incidents.json",
            "getIncidents",
            "The 50 latest incidents",
            "StatuspageIncidents",
        ),
        (
            "/api/v2/incidents/unresolved.json",
            "getUnresolved",
            "Open incidents",
            "StatuspageIncidents",
        ),
        (
            "/api/v2/scheduled-maintenances.json",
            "getMaintenances",
            "None: maintenance is not planned here",
            "StatuspageMaintenances",
        ),
        (
            "/api/v2/scheduled-maintenances/upcoming.json",
            "getUpcoming",
            "None",
            "StatuspageMaintenances",
        ),
        (
            "/api/v2/scheduled-maintenances/active.json",
            "getActive",
            "None",
            "StatuspageMaintenances",
        ),
    ];
    for (path, id, summary, schema) in statuspage {
        paths[path] = ask("statuspage", id, summary, &[], &of(schema), None, &[503]);
    }
    paths["/api/v1/services"]["get"]["responses"]["200"]["links"] = json!({
        "service": { "operationId": "getService", "parameters": { "slug": "$response.body#/services/0/slug" } },
        "history": { "operationId": "getHistory", "parameters": { "slug": "$response.body#/services/0/slug" } },
    });
    paths["/api/v1/incidents"]["get"]["responses"]["200"]["links"] = json!({
        "incident": { "operationId": "getIncident", "parameters": { "id": "$response.body#/incidents/0/id" } },
    });
    for (deed, id, summary, field, schema) in [
        (
            "acknowledge",
            "acknowledge",
            "Say that you have it in hand",
            "",
            json!({}),
        ),
        (
            "updates",
            "update",
            "Say something of it",
            "text",
            prose("What people should know."),
        ),
        (
            "post-mortem",
            "writePostMortem",
            "Say afterwards what it was",
            "text",
            prose("What it was."),
        ),
        (
            "cause",
            "nameCause",
            "Name the cause",
            "cause",
            one_of("The cause.", &CAUSES),
        ),
        (
            "merge",
            "mergeIncident",
            "Say that it belongs to another incident",
            "into",
            text("Id of that one."),
        ),
    ] {
        paths[format!("/api/v1/incidents/{{id}}/{deed}")] =
            json!({ "post": operate(id, summary, field, &schema) });
    }
    let (work, results) = probes();
    paths["/api/v1/probes"] = work;
    paths["/api/v1/probes/results"] = results;
    paths
}

fn report(config: &Config) -> Value {
    let first = config.service.first();
    let slug = first.map_or("shop", |service| &service.slug);
    let symptom = first.and_then(|service| service.symptoms.first());
    let example = json!({ "service": slug, "symptom": symptom.map_or("", String::as_str) });
    let mut responses = refusals(&[404, 413, 415, 422, 429, 503]);
    for (code, word, description) in [
        ("201", "counted", "It is counted, and on the disk."),
        (
            "200",
            "already",
            "This person reported this service within half an hour; it is not counted again.",
        ),
    ] {
        let schema = object(
            description,
            json!({ "status": { "type": "string", "const": word } }),
        );
        responses.insert(
            code.to_owned(),
            json!({ "description": description, "content": content(&schema, Some(json!({ "status": word }))) }),
        );
    }
    json!({
        "tags": ["reports"],
        "operationId": "report",
        "summary": "Say that a service does not work for you",
        "description": "The address of the sender is not kept: only keyed hashes of it, for a day, and its country and network. Where the \
            tracker wants proof of work, `work` is the challenge that `/s/{slug}/work` gives, a colon, and a number, so that the SHA-256 \
            of challenge and number begins with so many zero bits.",
        "requestBody": {
            "required": true,
            "content": content(&of("Report"), Some(example)),
        },
        "responses": responses,
    })
}

fn prose(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": TEXT_MAX, "pattern": "\\S", "description": description })
}

/// What an operator does about an incident; the answer is the incident as it is then.
fn operate(id: &str, summary: &str, field: &str, schema: &Value) -> Value {
    let mut codes = vec![400, 401, 403, 404, 422, 500, 503];
    codes.extend(match field {
        "" => [409].as_slice(),
        _ => &[413, 415],
    });
    let mut responses = refusals(&codes);
    let code = if id == "update" { "201" } else { "200" };
    responses.insert(
        code.to_owned(),
        json!({ "description": "It is done, and on the disk.", "content": content(&of("Incident"), None) }),
    );
    let mut operation = json!({
        "tags": ["operate"],
        "operationId": id,
        "summary": summary,
        "security": [{ "operate": [] }],
        "parameters": [{ "$ref": "#/components/parameters/id" }],
        "responses": responses,
    });
    if !field.is_empty() {
        let body = json!({
            "type": "object", "additionalProperties": false, "required": [field], "properties": { field: schema },
        });
        operation["requestBody"] = json!({ "required": true, "content": content(&body, None) });
    }
    operation
}

/// What agents ask for, and what they send.
fn probes() -> (Value, Value) {
    let secured = json!([{ "probes": [] }]);
    let codes = [401, 403, 500, 503];
    let mut work = ask(
        "probes",
        "getProbes",
        "What is to be probed",
        &[],
        &of("Work"),
        None,
        &codes,
    );
    work["get"]["security"] = secured.clone();
    work["get"]["responses"]["200"]["headers"] = json!({ "ETag": { "$ref": "#/components/headers/ETag" } });
    let mut responses = refusals(&[401, 403, 413, 422, 500, 503]);
    let taken = object(
        "What was taken.",
        json!({ "taken": count("Results that are of probes in the settings.") }),
    );
    responses.insert(
        "202".to_owned(),
        json!({ "description": "They are on the disk.", "content": content(&taken, Some(json!({ "taken": 1 }))) }),
    );
    let results = json!({ "post": {
        "tags": ["probes"],
        "operationId": "sendResults",
        "summary": "Send what was found",
        "description": "A batch whose answer was lost may be sent again.",
        "security": secured,
        "requestBody": { "required": true, "content": content(&of("Batch"), Some(json!({
            "schema": "epicenter.probe/1", "place": "Wien",
            "results": [{ "at": "2025-03-10T09:46:40Z", "service": "shop", "probe": 0, "kind": "http", "ok": true }],
        }))) },
        "responses": responses,
    } });
    (work, results)
}

fn parameters() -> Value {
    let query = |name: &str, description: &str, schema: Value, example: Option<&str>| {
        let mut parameter = json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
        if let Some(example) = example {
            parameter["example"] = json!(example);
        }
        parameter
    };
    let path = |name: &str, description: &str| {
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": { "type": "string", "pattern": SLUG },
        })
    };
    let slug = json!({ "type": "string", "pattern": SLUG });
    let moment = json!({ "type": "string", "format": "date-time" });
    json!({
        "slug": path("slug", "Slug of a service."),
        "id": path("id", "Id of an incident."),
        "q": query("q", "Only services with this in slug or name.", json!({ "type": "string", "maxLength": SOUGHT_MAX }), Some("shop")),
        "standing": query("standing", "Only services that stand so.", standing(), None),
        "limit": query("limit", "How many at most.", json!({
            "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT,
        }), None),
        "service_cursor": query("cursor", "Go on after this: `next` of the answer before.", slug.clone(), None),
        "incident_cursor": query("cursor", "Go on after this: `next` of the answer before.", json!({
            "type": "string", "pattern": CURSOR,
        }), None),
        "service": query("service", "Only incidents of this service, by slug.", slug, None),
        "since": query("since", "Only incidents that lasted after this.", moment.clone(), Some("2025-03-01T00:00:00Z")),
        "from": query("from", "Begin of the history; else a day before its end.", moment.clone(), Some("2025-03-10T00:00:00Z")),
        "to": query("to", "End of the history; now where it is not given.", moment, Some("2025-03-11T00:00:00Z")),
    })
}

fn responses() -> Value {
    let refusal = |description: &str, headers: Value| {
        json!({
            "description": description,
            "headers": headers,
            "content": { "application/problem+json": { "schema": of("Problem") } },
        })
    };
    let later = json!({ "Retry-After": { "$ref": "#/components/headers/Retry-After" } });
    json!({
        "BadRequest": refusal("The address cannot be read.", json!({})),
        "Unauthorized": refusal("There is no token, or none that is known.", json!({
            "WWW-Authenticate": { "$ref": "#/components/headers/WWW-Authenticate" },
        })),
        "Forbidden": refusal("The token is not good for this.", json!({})),
        "Conflict": refusal("Somebody has it in hand already.", json!({})),
        "NotFound": refusal("There is no such thing.", json!({})),
        "TooLarge": refusal("The body is too large.", json!({})),
        "MediaType": refusal("The body is no application/json.", json!({})),
        "Invalid": refusal("A parameter or the body is not as described; `detail` says which and why.", json!({})),
        "TooMany": refusal("Too many reports came from this network within a minute.", later.clone()),
        "Unreadable": refusal("The data file cannot be read.", json!({})),
        "Busy": refusal("More is asked for than can be done, or there is no room on the disk; ask again later.", later),
    })
}

fn standing() -> Value {
    one_of(
        "Where a service stands. `learning`: it is not known yet what is usual.",
        &[
            "learning",
            "operational",
            "closed",
            "resolved",
            "recovering",
            "suspected",
            "confirmed",
            "identified",
        ],
    )
}

fn schemas(config: &Config) -> Value {
    let mut schemas = own_schemas();
    schemas["Report"]["anyOf"] = reportable(config);
    for more in [statuspage_schemas(), probe_schemas()] {
        if let (Value::Object(schemas), Value::Object(more)) = (&mut schemas, more) {
            schemas.extend(more);
        }
    }
    schemas
}

/// Which symptoms go with which services: the services that have the same ones stand together. Of very many services only the forms of
/// a report are written down, and `symptoms_known` of each says the rest.
fn reportable(config: &Config) -> Value {
    let mut sets: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for service in &config.service {
        let symptoms = std::iter::once("").chain(service.symptoms.iter().map(String::as_str));
        sets.entry(symptoms.collect()).or_default().push(&service.slug);
    }
    if config.service.len() > REPORTABLE_MAX || sets.is_empty() {
        return json!([{}]);
    }
    let mut forms = Vec::new();
    for (symptoms, slugs) in &sets {
        forms
            .push(json!({ "properties": { "service": { "enum": slugs }, "symptom": { "enum": symptoms } } }));
    }
    Value::Array(forms)
}

fn own_schemas() -> Value {
    let confidence = one_of("How good the evidence is.", &["low", "moderate", "high"]);
    let asn = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "AS number; 0 for networks not told apart." });
    let code = json!({ "type": "string", "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1 alpha-2; ZZ where none is known." });
    let name = || or_null(text("Name of the network."));
    let summary = json!({
        "slug": { "type": "string", "pattern": SLUG },
        "name": text("Its name."),
        "url": text("Where it is; may be empty."),
        "about": text("What it is; may be empty."),
        "at": moment("When this was made."),
        "standing": of("Standing"),
        "in_trouble": flag("People have trouble now."),
        "last_15_minutes": of("Counted"),
        "last_hour": of("Counted"),
        "failing_places": count("Places whose probes fail."),
        "places": count("Places that probe."),
        "failing_since": or_null(moment("Since when probes fail.")),
        "attacks_running": count("Attacks on its networks that are going on."),
        "incident": or_null(text("Id of the incident that is open or may get another wave.")),
    });
    let mut whole = summary.clone();
    let more = json!({
        "symptoms_known": list(text("What may be reported.")),
        "networks_watched": list(text("Its prefixes.")),
        "neighbours": list(text("Slugs.")),
        "bin_seconds": { "type": "integer", "const": 900 },
        "bins": { "type": "array", "maxItems": 96, "items": object("A quarter of an hour; the last one is not over.", json!({
            "start": moment("Its start."),
            "reports": count("Reports."),
            "expected": or_null(number("Reports that were expected in the minutes for which that is known.")),
            "minutes_expected": { "type": "integer", "minimum": 0, "maximum": 15, "description": "Minutes for which `expected` is known." },
            "tried": count("Probes."),
            "failed": count("Probes that failed."),
        })) },
        "countries": { "type": "array", "maxItems": 50, "items": object("Reports of the last day from a country.", json!({
            "code": code, "reports": count("Reports."), "share": of("Share"),
        })) },
        "networks": { "type": "array", "maxItems": 50, "items": object("Reports of the last day from a network.", json!({
            "asn": asn, "name": name(), "reports": count("Reports."), "share": of("Share"),
        })) },
        "symptoms": { "type": "array", "maxItems": 50, "items": object("Reports of the last day with a symptom.", json!({
            "symptom": text("What does not work; empty where nothing was said."), "reports": count("Reports."), "share": of("Share"),
        })) },
        "probes": list(object("A probe from a place, as it was last.", json!({
            "place": text("From where."),
            "probe": count("Number among the probes of the service."),
            "kind": text("http, tcp, dns, tls or icmp."),
            "at": moment("When."),
            "ok": or_null(flag("Whether it worked; null where there is no data.")),
            "reason": text("Why not; may be empty."),
            "milliseconds": or_null(number("How long it took.")),
            "certificate_ends": or_null(moment("When its certificate ends.")),
            "tried": count("Since the start of the tracker."),
            "failed": count("Of these."),
            "failed_share": or_null(of("Share")),
        }))),
        "attacks": list(object("An attack that is going on.", json!({
            "id": text("Its id."),
            "target": text("The prefix attacked."),
            "start": moment("First packet."),
            "vectors": text("What it is."),
            "headline": text("In a sentence."),
        }))),
        "open_incident": or_null(of("Incident")),
        "past_incidents": { "type": "array", "maxItems": 20, "items": text("Id."), "description": "The newest first." },
    });
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more);
    }
    let said = object(
        "Something that an operator wrote.",
        json!({ "at": moment("When."), "text": text("What.") }),
    );
    json!({
        "Problem": object("Why a request was refused (RFC 9457).", json!({
            "type": { "type": "string", "pattern": "^urn:epicenter:problem:[a-z-]+$" },
            "title": text("The status in words."),
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": text("What is wrong, for people."),
        })),
        "Share": object("A share with its 95 % interval.", json!({
            "estimate": { "type": "number", "minimum": 0, "maximum": 1 },
            "low": { "type": "number", "minimum": 0, "maximum": 1 },
            "high": { "type": "number", "minimum": 0, "maximum": 1 },
        })),
        "Counted": object("Reports in a time that ends now, and those that were to be expected.", json!({
            "reports": count("Reports, those of the running minute too."),
            "expected": or_null(number("Expected reports; null while the detector learns.")),
        })),
        "Standing": standing(),
        "ServiceSummary": object("A service, in short.", summary),
        "Services": object("A page of the list of services.", json!({
            "services": { "type": "array", "maxItems": LIMIT_MAX, "items": of("ServiceSummary") },
            "next": or_null(json!({ "type": "string", "pattern": SLUG, "description": "`cursor` of the next page, if any." })),
        })),
        "Service": object("A service.", whole),
        "History": object("Counts of a service.", json!({
            "service": { "type": "string", "pattern": SLUG },
            "from": moment("Its begin."),
            "to": moment("Its end."),
            "bin_seconds": { "type": "integer", "const": 900 },
            "bins": { "type": "array", "maxItems": HISTORY_MAX, "items": object("A quarter of an hour.", json!({
                "start": moment("Its start."),
                "reports": count("Reports."),
                "tried": count("Probes."),
                "failed": count("Probes that failed."),
            })) },
            "next": or_null(moment("`from` of what did not fit into this answer.")),
        })),
        "Incident": object("A service was in trouble.", json!({
            "id": text("Its id, which stays."),
            "service": { "type": "string", "pattern": SLUG },
            "standing": of("Standing"),
            "start": moment("Begin of the first wave."),
            "end": or_null(moment("End of the last wave; null while it lasts.")),
            "waves": list(object("A wave of trouble.", json!({
                "start": moment("Since when."),
                "detected": moment("When that was known."),
                "end": or_null(moment("Until when.")),
                "reports": count("Reports in it."),
                "expected": or_null(number("Reports that were to be expected.")),
                "peak_reports": count("Most reports in 15 minutes."),
                "peak_start": moment("When these began."),
            }))),
            "reports": count("Reports in the waves."),
            "expected": or_null(number("Reports that were to be expected.")),
            "limited": of("Share"),
            "countries": list(object("Share of those who reported.", json!({ "code": code, "share": of("Share") }))),
            "networks": list(object("Share of those who reported.", json!({ "asn": asn, "name": name(), "share": of("Share") }))),
            "symptoms": list(object("Share of the reports.", json!({ "symptom": text("What does not work."), "share": of("Share") }))),
            "probes": { "anyOf": [object("What probes showed in it.", json!({
                "tried": count("Probes."),
                "failed": count("Failed ones."),
                "failed_share": of("Share"),
                "failing_places": count("The most places that failed at once."),
                "places": count("Places that probe."),
            })), { "type": "null" }] },
            "cause": object("Why.", json!({
                "kind": one_of("The cause: what an operator named, else what was observed.", &CAUSES),
                "named_by_operator": flag("An operator named it."),
                "observed": one_of("What the signals show.", &CAUSES),
                "of": list(text("Ids of attacks, or slug of the neighbour.")),
                "confidence": confidence,
                "because": list(text("Why that cause.")),
            })),
            "confidence": confidence,
            "attacks": list(text("What the traffic shows, a sentence for each attack.")),
            "caveats": list(text("What is not known.")),
            "acknowledged": or_null(moment("Since when an operator has it in hand.")),
            "updates": list(said.clone()),
            "post_mortem": { "anyOf": [said, { "type": "null" }] },
            "merged_into": or_null(text("Id of the incident to which it belongs.")),
        })),
        "Incidents": object("A page of the list of incidents.", json!({
            "incidents": { "type": "array", "maxItems": LIMIT_MAX, "items": of("Incident") },
            "next": or_null(json!({ "type": "string", "pattern": CURSOR, "description": "`cursor` of the next page, if any." })),
        })),
        "Report": {
            "type": "object",
            "additionalProperties": false,
            "required": ["service"],
            "properties": {
                "service": { "type": "string", "pattern": SLUG, "description": "Slug of the service." },
                "symptom": { "type": "string", "maxLength": 80, "description": "One of `symptoms_known` of the service, or empty." },
                "comment": { "type": "string", "maxLength": COMMENT_MAX,
                    "description": "Kept only where the tracker takes comments; not shown before an operator read it." },
                "work": { "type": "string", "maxLength": WORK_MAX, "description": "Proof of work, where it is wanted." },
            },
        },
    })
}

fn statuspage_schemas() -> Value {
    let page = object(
        "The page.",
        json!({
            "id": text("Its id."),
            "name": text("Its name."),
            "url": text("Its address."),
            "time_zone": { "type": "string", "const": "Etc/UTC" },
            "updated_at": moment("When anything changed last."),
        }),
    );
    let status = object(
        "The status of everything.",
        json!({
            "indicator": one_of("In one word.", &["none", "minor", "major", "critical"]),
            "description": text("In words."),
        }),
    );
    let states = [
        "operational",
        "degraded_performance",
        "partial_outage",
        "major_outage",
    ];
    let stages = [
        "investigating",
        "identified",
        "monitoring",
        "resolved",
        "postmortem",
    ];
    let nothing = |description: &str| json!({ "type": "null", "description": description });
    json!({
        "StatuspageComponent": object("A service.", json!({
            "id": text("Its slug."),
            "name": text("Its name."),
            "status": one_of("How it is.", &states),
            "created_at": moment("Begin of what is at hand."),
            "updated_at": moment("When it changed last."),
            "position": { "type": "integer", "minimum": 1 },
            "description": or_null(text("What it is.")),
            "showcase": { "type": "boolean" },
            "start_date": nothing("Not known."),
            "group_id": nothing("There are no groups."),
            "page_id": text("Id of the page."),
            "group": { "type": "boolean", "const": false },
            "only_show_if_degraded": { "type": "boolean", "const": false },
        })),
        "StatuspageIncident": object("An incident.", json!({
            "id": text("Its id."),
            "name": text("What it is called."),
            "status": one_of("How far it is.", &stages),
            "created_at": moment("When it was found."),
            "updated_at": moment("When it changed last."),
            "monitoring_at": or_null(moment("Since when it gets better.")),
            "resolved_at": or_null(moment("When it was over.")),
            "impact": one_of("How bad it is.", &["none", "minor", "major", "critical"]),
            "shortlink": text("Its page."),
            "started_at": moment("When it began."),
            "page_id": text("Id of the page."),
            "incident_updates": list(object("What was said of it, the newest first.", json!({
                "id": text("Its id."),
                "status": one_of("How far it was.", &stages),
                "body": text("What."),
                "incident_id": text("Id of the incident."),
                "created_at": moment("When."),
                "updated_at": moment("When."),
                "display_at": moment("When."),
                "affected_components": { "type": ["array", "null"], "items": object("A service.", json!({
                    "code": text("Its slug."),
                    "name": text("Its name."),
                    "old_status": one_of("How it was.", &states),
                    "new_status": one_of("How it is.", &states),
                })) },
                "deliver_notifications": { "type": "boolean" },
                "custom_tweet": nothing("None."),
                "tweet_id": nothing("None."),
            }))),
            "components": list(of("StatuspageComponent")),
            "reminder_intervals": nothing("None."),
        })),
        "StatuspageStatus": object("The status.", json!({ "page": page, "status": status })),
        "StatuspageComponents": object("The services.", json!({ "page": page, "components": list(of("StatuspageComponent")) })),
        "StatuspageIncidents": object("Incidents.", json!({ "page": page, "incidents": list(of("StatuspageIncident")) })),
        "StatuspageMaintenances": object("Nothing.", json!({
            "page": page, "scheduled_maintenances": { "type": "array", "maxItems": 0 },
        })),
        "StatuspageSummary": object("All in one.", json!({
            "page": page,
            "components": list(of("StatuspageComponent")),
            "incidents": list(of("StatuspageIncident")),
            "scheduled_maintenances": { "type": "array", "maxItems": 0 },
            "status": status,
        })),
    })
}

fn probe_schemas() -> Value {
    let kind = one_of("What was tried.", &["http", "tcp", "dns", "tls", "icmp"]);
    let ms = json!({ "type": ["number", "null"], "minimum": 0, "maximum": 600_000 });
    json!({
        "Work": object("What is to be probed.", json!({
            "schema": { "type": "string", "const": "epicenter.probe-work/1" },
            "version": text("Another one for other work."),
            "services": list(object("A service.", json!({
                "slug": { "type": "string", "pattern": SLUG },
                "probe": list(json!({ "type": "object", "required": ["kind"], "properties": { "kind": kind }, "additionalProperties": true,
                    "description": "As in the configuration." })),
            }))),
        })),
        "Batch": {
            "type": "object",
            "required": ["schema", "place", "results"],
            "properties": {
                "schema": { "type": "string", "const": "epicenter.probe/1" },
                "place": { "type": "string", "minLength": 1, "maxLength": 80, "description": "Where the agent is." },
                "dropped": count("Results that the agent had to throw away since its start."),
                "results": { "type": "array", "maxItems": 1000, "items": {
                    "type": "object",
                    "required": ["at", "service", "probe", "kind", "ok"],
                    "properties": {
                        "at": moment("When the probe began; not older than ten minutes."),
                        "service": { "type": "string", "pattern": SLUG },
                        "probe": { "type": "integer", "minimum": 0, "maximum": 15, "description": "Number among its probes." },
                        "kind": kind,
                        "ok": or_null(flag("Up, or down; null where there is no data.")),
                        "reason": text("A code, where it is not up."),
                        "words": text("The reason in words."),
                        "note": text("More."),
                        "phases_ms": { "type": "object", "properties": {
                            "dns": ms, "connect": ms, "tls": ms, "first_byte": ms, "whole": ms,
                        } },
                        "status": { "type": "integer", "minimum": 100, "maximum": 999 },
                        "certificate_ends": { "type": "integer", "description": "Unix seconds." },
                        "http": one_of("Version of HTTP.", &["1.0", "1.1", "2"]),
                    },
                } },
            },
        },
    })
}

/// The document as a page: nothing in it needs a script, and nothing is fetched from elsewhere.
fn render(document: &Value) -> Markup {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let paths = document["paths"].as_object();
    let operations = |wanted: &str| {
        let mut found = Vec::new();
        for (path, methods) in paths.into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                if operation["tags"][0] == wanted {
                    found.push((path.as_str(), method.to_uppercase(), operation));
                }
            }
        }
        found
    };
    let tags = document["tags"].as_array();
    html! {
        // Whatever language the page around it speaks.
        div lang="en" {
            h1 { "API" }
            p { (text(&document["info"]["description"])) }
            p { "This page as OpenAPI 3.1: " a href="/api/v1/openapi.json" { "/api/v1/openapi.json" } }
            nav aria-label="Contents" {
                @for tag in tags.into_iter().flatten() {
                    h2 { a href={ "#" (text(&tag["name"])) } { (text(&tag["name"])) } }
                    ul {
                        @for (path, method, operation) in operations(tag["name"].as_str().unwrap_or_default()) {
                            li {
                                a href={ "#" (text(&operation["operationId"])) } { code { (method) " " (path) } }
                                " " (text(&operation["summary"]))
                            }
                        }
                    }
                }
            }
            @for tag in tags.into_iter().flatten() {
                section {
                    h2 id=(text(&tag["name"])) { (text(&tag["name"])) }
                    p { (text(&tag["description"])) }
                    @for (path, method, operation) in operations(tag["name"].as_str().unwrap_or_default()) {
                        (one(document, path, &method, operation))
                    }
                }
            }
            section {
                h2 id="schemas" { "Forms" }
                @for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
                    article id={ "schema-" (name) } { h3 { (name) } (form(schema)) }
                }
            }
        }
    }
}

/// What a reference names.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    pointer
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(value)
}

fn one(document: &Value, path: &str, method: &str, operation: &Value) -> Markup {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let parameters = operation["parameters"].as_array().filter(|list| !list.is_empty());
    html! {
        article id=(text(&operation["operationId"])) {
            h3 { code { (method) " " (path) } }
            p { (text(&operation["summary"])) }
            @if let Some(more) = operation["description"].as_str() { p { (more) } }
            @if !operation["security"].is_null() { p { "Needs a token: " code { "Authorization: Bearer …" } } }
            @if let Some(parameters) = parameters {
                table {
                    thead { tr { @for heading in ["Parameter", "In", "What", "Form"] { th scope="col" { (heading) } } } }
                    tbody {
                        @for parameter in parameters {
                            @let parameter = resolved(document, parameter);
                            tr {
                                td { code { (text(&parameter["name"])) } }
                                td { (text(&parameter["in"])) }
                                td { (text(&parameter["description"])) }
                                td { (form(&parameter["schema"])) }
                            }
                        }
                    }
                }
            }
            @if let Some(content) = operation["requestBody"]["content"].as_object() {
                h4 { "Body" }
                @for (kind, body) in content { p { code { (kind) } ": " (form(&body["schema"])) } (example(&body["example"])) }
            }
            h4 { "Answers" }
            table {
                thead { tr { th scope="col" { "Status" } th scope="col" { "When" } th scope="col" { "Form" } } }
                tbody {
                    @for (code, answer) in operation["responses"].as_object().into_iter().flatten() {
                        @let answer = resolved(document, answer);
                        tr {
                            td { code { (code) } }
                            td { (text(&answer["description"])) }
                            td {
                                @for (kind, body) in answer["content"].as_object().into_iter().flatten() {
                                    code { (kind) } " " (form(&body["schema"])) (example(&body["example"]))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn example(example: &Value) -> Markup {
    html! {
        @if !example.is_null() { pre { code { (serde_json::to_string_pretty(example).unwrap_or_default()) } } }
    }
}

/// A schema, for people.
fn form(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|target| target.rsplit('/').next())
    {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        return html! { @for (n, one) in forms.iter().enumerate() { @if n > 0 { " or " } (form(one)) } };
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        kind => kind.as_str().unwrap_or("anything").to_owned(),
    };
    let mut bounds = Vec::new();
    for (key, words) in [
        ("format", "as"),
        ("pattern", "matching"),
        ("const", "always"),
        ("minimum", "from"),
        ("maximum", "to"),
        ("minLength", "characters from"),
        ("maxLength", "characters to"),
        ("maxItems", "entries to"),
        ("default", "else"),
    ] {
        match &schema[key] {
            Value::Null => {}
            Value::String(value) => bounds.push(format!("{words} {value}")),
            value => bounds.push(format!("{words} {value}")),
        }
    }
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|known| known == name))
    };
    html! {
        (kind)
        @if let Some(words) = schema["enum"].as_array() {
            ": " @for (n, word) in words.iter().enumerate() { @if n > 0 { ", " } code { (word.as_str().unwrap_or_default()) } }
        }
        @if !bounds.is_empty() { ", " (bounds.join(", ")) }
        @if let Some(what) = schema["description"].as_str() { span { ". " (what) } }
        @if schema["items"].is_object() { ", of: " (form(&schema["items"])) }
        @if let Some(properties) = schema["properties"].as_object() {
            dl {
                @for (name, property) in properties {
                    dt { code { (name) } @if !required(name) { " (may be missing)" } }
                    dd { (form(property)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Service;
    use super::super::testing::{bed, get as asked};
    use super::*;

    /// Everything a reference names is there, and everything that is there is named.
    #[test]
    fn references_lead_somewhere_and_nothing_is_left_over() {
        fn references(value: &Value, found: &mut std::collections::BTreeSet<String>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| match value {
                    Value::String(target) if key == "$ref" => drop(found.insert(target.clone())),
                    value => references(value, found),
                }),
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document(&bed().app.state.config.load());
        let mut found = std::collections::BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 30);
        for target in &found {
            let pointer = target.strip_prefix('#').expect("of this document");
            assert!(document.pointer(pointer).is_some(), "{target} is not there");
        }
        for kind in ["schemas", "parameters", "responses", "headers"] {
            for name in document["components"][kind].as_object().expect("a map").keys() {
                let target = format!("#/components/{kind}/{name}");
                assert!(found.contains(&target), "{target} is named by nobody");
            }
        }
    }

    #[test]
    fn examples_are_as_their_schemas_say() {
        let document = document(&bed().app.state.config.load());
        let mut checked = 0;
        for methods in document["paths"].as_object().expect("paths").values() {
            for operation in methods.as_object().expect("methods").values() {
                let answers = operation["responses"].as_object().expect("answers").values();
                let bodies = answers.chain([&operation["requestBody"]]);
                for content in bodies.filter_map(|body| body["content"].get("application/json")) {
                    if content["example"].is_null() {
                        continue;
                    }
                    let mut schema = content["schema"].clone();
                    schema["components"] = document["components"].clone();
                    let holds = jsonschema::validator_for(&schema).expect("a schema");
                    assert!(holds.is_valid(&content["example"]), "{content}");
                    checked += 1;
                }
            }
        }
        assert!(checked >= 4, "{checked}");
    }

    #[test]
    fn a_report_goes_with_the_symptoms_of_its_service() {
        let mut config = Config::clone(&bed().app.state.config.load());
        config.service[0].symptoms = vec!["card".to_owned()];
        let holds = |config: &Config, report: Value| {
            let document = document(config);
            let mut schema = document["components"]["schemas"]["Report"].clone();
            schema["components"] = document["components"].clone();
            jsonschema::validator_for(&schema)
                .expect("a schema")
                .is_valid(&report)
        };
        assert!(holds(&config, json!({ "service": "bank", "symptom": "card" })));
        assert!(holds(
            &config,
            json!({ "service": "bank", "symptom": "", "comment": "x" })
        ));
        assert!(holds(&config, json!({ "service": "shop", "symptom": "website" })));
        assert!(holds(&config, json!({ "service": "shop" })));
        for wrong in [
            json!({ "service": "shop", "symptom": "card" }),
            json!({ "service": "bank", "symptom": "website" }),
            json!({ "service": "other" }),
            json!({ "symptom": "card" }),
            json!({ "service": "bank", "more": 1 }),
        ] {
            assert!(!holds(&config, wrong.clone()), "{wrong}");
        }
        // Of very many services not all are written down.
        let one = config.service[0].clone();
        config.service = (0..=REPORTABLE_MAX)
            .map(|n| Service {
                slug: format!("s{n}"),
                ..one.clone()
            })
            .collect();
        assert!(holds(&config, json!({ "service": "s1", "symptom": "anything" })));
    }

    #[tokio::test]
    async fn the_page_says_all_that_the_document_says_without_a_script() {
        let bed = bed();
        let answer = asked(routes(), &bed.app, "/api").await;
        let page = String::from_utf8(answer.into_body()).expect("text");
        assert!(
            page.contains("Störung &amp; &lt;b&gt;Co&lt;/b&gt;"),
            "the name is escaped"
        );
        let document = document(&bed.app.state.config.load());
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                assert!(
                    page.contains(&format!("<code>{} {path}</code>", method.to_uppercase())),
                    "{path}"
                );
                let id = operation["operationId"].as_str().expect("an id");
                assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
            }
        }
        for name in document["components"]["schemas"]
            .as_object()
            .expect("schemas")
            .keys()
        {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
        assert!(!page.contains(" style=") && !page.contains("src=\"http"));
    }
}
