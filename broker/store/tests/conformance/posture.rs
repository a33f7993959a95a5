//! Other systems say something about the subjects of requests.

use domain::grant::Request;
use futures_util::future::join_all;
use protocol::posture::PostureOutcome;
use protocol::{Facts, Provenance};
use store::{Created, PostureListing, PostureStatement, Store};

use super::deciding::context;
use super::fixtures::{KEPT, accepted, active, at, done, grant_id, request, statement};

async fn put(store: &dyn Store, statement: &PostureStatement, secs: i64) -> PostureOutcome {
    store.put_posture(statement, at(secs)).await.unwrap()
}

pub(crate) async fn a_statement_is_read_back_until_it_expires(store: &dyn Store) {
    let subjects = ["agent/orders", "run/7"];
    assert_eq!(context(store, "orders", None, &subjects).await.posture_seq, 0);
    let first = PostureStatement { expires_at: at(1001), ..statement("edr", "agent/orders", false, 900) };
    assert_eq!(put(store, &first, 950).await, PostureOutcome::Changed);
    let over = PostureStatement { expires_at: at(1000), ..statement("edr", "run/7", true, 900) };
    put(store, &over, 950).await;
    put(store, &statement("scan", "agent/orders", true, 800), 960).await;
    put(store, &statement("scan", "agent/stock", true, 800), 960).await;

    let found = context(store, "orders", None, &subjects).await;
    let read: Vec<_> = found.posture.iter().map(|one| (one.statement.clone(), one.received_at)).collect();
    assert_eq!(read, [(first, at(950)), (statement("scan", "agent/orders", true, 800), at(960))]);
}

pub(crate) async fn an_older_statement_changes_nothing(store: &dyn Store) {
    let subjects = ["agent/orders"];
    let newest = statement("edr", "agent/orders", true, 900);
    put(store, &newest, 950).await;
    let before = context(store, "orders", None, &subjects).await;
    assert_eq!(put(store, &statement("edr", "agent/orders", false, 899), 951).await, PostureOutcome::Older);
    assert_eq!(put(store, &newest, 952).await, PostureOutcome::Unchanged, "a retry");
    assert_eq!(context(store, "orders", None, &subjects).await, before);
    // The later expiry is stored, and nothing new is known.
    let longer = PostureStatement { expires_at: at(200_000), ..newest };
    assert_eq!(put(store, &longer, 953).await, PostureOutcome::Unchanged);
    let after = context(store, "orders", None, &subjects).await;
    assert_eq!(after.posture[0].statement, longer);
    assert!(after.posture_seq > before.posture_seq);
}

/// Active, with this signed repository.
async fn from_repository(store: &dyn Store, number: u64, signed: &str, claimed: &str) {
    let facts = |repository: &str| Facts { repository: Some(repository.to_owned()), ..Facts::default() };
    let provenance = Provenance { signed: facts(signed), claimed: facts(claimed), ..Provenance::default() };
    let reason = Some("\0 \"repository\":\"octo-org/\u{1f4e6}\"".to_owned());
    let accepted = accepted(Request { provenance, reason, ..request("orders", number) });
    let made = store.create_grant(&accepted, None, None, None, None).await.unwrap();
    let Created::New(made) = made else { panic!("no grant: {made:?}") };
    let transition = made.grant.clone().activate(at(1001), "token issued").unwrap();
    done(store, &made, &transition).await;
}

async fn marks(store: &dyn Store, number: u64) -> Option<i64> {
    store.grant(&grant_id(number)).await.unwrap().unwrap().reevaluation.map(|reevaluation| reevaluation.mark)
}

pub(crate) async fn a_statement_that_changes_what_is_known_marks_grants(store: &dyn Store) {
    active(store, "orders", 1, None).await;
    active(store, "stock", 2, None).await;
    from_repository(store, 3, "octo-org/\u{1f4e6} \"a\\b", "").await;
    let of_agent = |ok, as_of| statement("edr", "agent/stock", ok, as_of);
    put(store, &of_agent(true, 900), 1000).await;
    assert_eq!([marks(store, 1).await, marks(store, 2).await, marks(store, 3).await], [None, Some(1), None]);
    assert_eq!(put(store, &of_agent(true, 901), 1000).await, PostureOutcome::Unchanged);
    assert_eq!(marks(store, 2).await, Some(1));
    assert_eq!(put(store, &of_agent(false, 902), 1000).await, PostureOutcome::Changed);
    assert_eq!(marks(store, 2).await, Some(2));
    // A grant that was to be decided again when the statement expires has to be looked at.
    let shorter = PostureStatement { expires_at: at(5000), ..of_agent(false, 903) };
    assert_eq!(put(store, &shorter, 1000).await, PostureOutcome::Changed);
    assert_eq!(marks(store, 2).await, Some(3));
    // What has expired is not known any more.
    assert_eq!(put(store, &of_agent(false, 904), 5000).await, PostureOutcome::Changed);
    assert_eq!(marks(store, 2).await, Some(4));

    let fact = "repository/octo-org/\u{1f4e6} \"a\\b";
    assert_eq!(put(store, &statement("edr", fact, false, 900), 1000).await, PostureOutcome::Changed);
    assert_eq!(
        [marks(store, 1).await, marks(store, 2).await, marks(store, 3).await],
        [None, Some(4), Some(1)]
    );
}

pub(crate) async fn claimed_facts_are_no_subject(store: &dyn Store) {
    from_repository(store, 1, "octo-org/app", "octo-org/\u{1f4e6}").await;
    put(store, &statement("edr", "repository/octo-org/\u{1f4e6}", false, 900), 1000).await;
    put(store, &statement("edr", "repository/octo-org", false, 900), 1000).await;
    put(store, &statement("edr", "workflow/octo-org/app", false, 900), 1000).await;
    assert_eq!(marks(store, 1).await, None);
}

pub(crate) async fn statements_are_listed_in_pages(store: &dyn Store) {
    for (source, subject) in [("b", "run/1"), ("a", "run/2"), ("a", "run/1"), ("A", "run/9")] {
        put(store, &statement(source, subject, true, 900), 1000).await;
    }
    let list = async |listing: PostureListing<'_>| {
        let found = store.list_posture(listing).await.unwrap();
        let keys = found.into_iter().map(|one| (one.statement.source, one.statement.subject));
        keys.map(|(source, subject)| format!("{source} {subject}")).collect::<Vec<_>>()
    };
    let page = PostureListing { limit: 2, ..PostureListing::default() };
    assert_eq!(list(page).await, ["A run/9", "a run/1"]);
    let next = PostureListing { after: Some(("a", "run/1")), ..page };
    assert_eq!(list(next).await, ["a run/2", "b run/1"]);
    assert_eq!(list(PostureListing { source: Some("a"), ..page }).await, ["a run/1", "a run/2"]);
    assert_eq!(list(PostureListing { source: Some("a"), ..next }).await, ["a run/2"]);
    assert!(list(PostureListing { source: Some("c"), ..page }).await.is_empty());
}

pub(crate) async fn any_character_is_a_subject(store: &dyn Store) {
    let subjects = ["run/a\0b", "run/a\\0b", "run/\"'; --"];
    for (number, subject) in (900..).zip(subjects) {
        put(store, &statement("edr", subject, true, number), 1000).await;
    }
    for (number, subject) in (900..).zip(subjects) {
        let found = context(store, "orders", None, &[subject]).await.posture;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].statement, statement("edr", subject, true, number));
    }
    let listing = PostureListing { limit: 10, ..PostureListing::default() };
    let listed = store.list_posture(listing).await.unwrap();
    assert!(subjects.iter().all(|subject| listed.iter().any(|one| one.statement.subject == *subject)));
}

pub(crate) async fn expired_statements_are_purged(store: &dyn Store) {
    put(store, &PostureStatement { expires_at: at(2000), ..statement("edr", "run/1", true, 900) }, 1000)
        .await;
    put(store, &statement("edr", "run/2", true, 900), 1000).await;
    let count = async || {
        let listing = PostureListing { limit: 10, ..PostureListing::default() };
        store.list_posture(listing).await.unwrap().len()
    };
    store.purge(at(1999), KEPT).await.unwrap();
    assert_eq!(count().await, 2);
    let before = context(store, "orders", None, &["run/1"]).await.posture_seq;
    store.purge(at(2000), KEPT).await.unwrap();
    assert_eq!(count().await, 1);
    put(store, &statement("edr", "run/1", true, 900), 2000).await;
    assert!(context(store, "orders", None, &["run/1"]).await.posture_seq > before, "no number is used again");
}

pub(crate) async fn concurrent_statements_end_with_the_newest(store: &dyn Store) {
    let statements: Vec<_> = (0..20).map(|n| statement("edr", "agent/orders", n % 2 == 0, 900 + n)).collect();
    join_all(statements.iter().map(|one| store.put_posture(one, at(1000)))).await.into_iter().for_each(
        |one| {
            one.unwrap();
        },
    );
    let found = context(store, "orders", None, &["agent/orders"]).await.posture;
    assert_eq!(found.iter().map(|one| &one.statement).collect::<Vec<_>>(), [&statements[19]]);
}
