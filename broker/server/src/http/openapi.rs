//! The OpenAPI document, generated from the handlers. A test compares it with `docs/book/src/reference/openapi.json`.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    App, agents, break_glass, grants, health, introspect, notifications, observations, posture, reconcile,
    requests, rules, security_events, sessions, standing_approvals, well_known,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cloudanix-jit broker",
        description = "Grants a workload access for one step, and revokes it. A body has at most 64 KiB, with a rule set 2 MiB, and must arrive within 10 s; \
                       a request names at most 10 policies. Rate limits: 600 elevations a minute for each agent (configurable), a tenth of that for refused ones, and \
                       6000 requests a minute for each source address (configurable; revokes, heartbeats and probes are exempt). Requests over a limit \
                       get 429 with `Retry-After`. Errors are RFC 9457 problem documents with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&SecuritySchemes),
    tags(
        (name = "grants", description = "Elevate, show, send heartbeats, revoke"),
        (name = "agents", description = "Register, disable and rotate tokens; for operators"),
        (name = "rules", description = "Apply, try and change the rules that decide; for operators"),
        (name = "posture", description = "What other systems find about the subjects of requests"),
        (name = "observations", description = "Steps that run without a grant: what would have been decided"),
        (name = "approvals", description = "Requests that wait for the approval of persons, votes, approvals in advance, and notifications"),
        (name = "break-glass", description = "Grants that persons take in an emergency, their review, and sealed codes"),
        (name = "people", description = "Sessions of persons who signed in"),
        (name = "verifying", description = "For resource servers that accept `token` grants"),
        (name = "operations", description = "Health, metrics and reconciliation"),
    ),
)]
struct Api;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for name in [
            "auth_token",
            "operator_token",
            "introspection_token",
            "posture_token",
            "session_token",
            "break_glass_code",
        ] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        }
    }
}

/// Every endpoint, routed and described from one list.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(grants::elevate::elevate, grants::list::list, grants::revoke::by_key))
        .routes(routes!(grants::state::state, grants::revoke::by_id))
        .routes(routes!(grants::heartbeat::heartbeat))
        .routes(routes!(grants::actions::report))
        .routes(routes!(grants::credentials::credentials))
        .routes(routes!(grants::timeline::timeline))
        .routes(routes!(agents::register::create, agents::list::list))
        .routes(routes!(agents::register::replace, agents::show::show))
        .routes(routes!(agents::check::check))
        .routes(routes!(agents::status::disable))
        .routes(routes!(agents::status::enable))
        .routes(routes!(agents::tokens::rotate))
        .routes(routes!(agents::tokens::revoke))
        .routes(routes!(rules::show::state, rules::apply::apply))
        .routes(routes!(rules::show::history))
        .routes(routes!(rules::show::set))
        .routes(routes!(rules::change::promote))
        .routes(routes!(rules::change::roll_out))
        .routes(routes!(rules::change::roll_back))
        .routes(routes!(rules::change::clear_candidate))
        .routes(routes!(rules::test::test))
        .routes(routes!(rules::compare::replay))
        .routes(routes!(rules::compare::diff_report))
        .routes(routes!(rules::compare::explain))
        .routes(routes!(posture::put))
        .routes(routes!(posture::list))
        .routes(routes!(security_events::receive))
        .routes(routes!(observations::observe))
        .routes(routes!(observations::report_actions))
        .routes(routes!(observations::report))
        .routes(routes!(sessions::exchange, sessions::list, sessions::end_all))
        .routes(routes!(sessions::show, sessions::end))
        .routes(routes!(requests::list))
        .routes(routes!(requests::show))
        .routes(routes!(requests::vote))
        .routes(routes!(standing_approvals::create, standing_approvals::list))
        .routes(routes!(standing_approvals::revoke))
        .routes(routes!(break_glass::create, break_glass::list))
        .routes(routes!(break_glass::review))
        .routes(routes!(break_glass::seal, break_glass::codes))
        .routes(routes!(break_glass::revoke_code))
        .routes(routes!(notifications::list))
        .routes(routes!(introspect::introspect))
        .routes(routes!(reconcile::reconcile))
        .routes(routes!(well_known::discovery))
        .routes(routes!(well_known::keys))
        .routes(routes!(health::show))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The document, as committed in `docs/book/src/reference/openapi.json`.
pub fn document() -> String {
    let (_, document) = routes().split_for_parts();
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// `GET /openapi.json`
pub(super) async fn serve() -> Json<Document> {
    let (_, document) = routes().split_for_parts();
    Json(document)
}
