//! How is the API described? Generated from the handlers; a test holds `docs/book/src/reference/openapi.json` against it.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, agents, grants, health, introspect, reconcile, well_known};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cloudanix-jit broker",
        description = "Gives a workload one policy for one step, and takes it back. Bodies are at most 64 KiB and come within 10 s; a request names at most \
                       10 policies; an agent may ask for 600 elevations a minute (configurable), be refused a tenth as often, and an address send \
                       6000 requests (configurable; giving back, beats and probes are never refused), then they get 429 with `Retry-After`. \
                       Errors are RFC 9457 problem documents with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Securities),
    tags(
        (name = "grants", description = "Elevate, look, beat, give back"),
        (name = "agents", description = "Register and switch off; for operators"),
        (name = "verifying", description = "For whoever serves what a `token` grant permits"),
        (name = "operations", description = "Health, metrics, and whether the target is as the database says"),
    ),
)]
struct Api;

struct Securities;

impl Modify for Securities {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for name in ["auth_token", "operator_token", "introspection_token"] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        }
    }
}

/// Every documented endpoint, once: what is routed is what is described.
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
        .routes(routes!(agents::switch::disable))
        .routes(routes!(agents::switch::enable))
        .routes(routes!(agents::tokens::rotate))
        .routes(routes!(agents::tokens::revoke))
        .routes(routes!(introspect::introspect))
        .routes(routes!(reconcile::reconcile))
        .routes(routes!(well_known::discovery))
        .routes(routes!(well_known::keys))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The description, as it is committed in `docs/book/src/reference/openapi.json`.
pub fn document() -> String {
    let (_, document) = routes().split_for_parts();
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// `GET /openapi.json`
pub(super) async fn serve() -> Json<Document> {
    let (_, document) = routes().split_for_parts();
    Json(document)
}
