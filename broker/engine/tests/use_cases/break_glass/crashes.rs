//! The broker dies at every boundary of a request; another one starts on the same store.

use super::*;

#[tokio::test]
async fn a_crash_anywhere_costs_no_second_code_and_leaves_no_access() {
    for retried in [true, false] {
        let mut boundary = 1;
        loop {
            let context = format!("boundary {boundary}, retried: {retried}");
            let fixture = Fixture::new().await;
            let first = broker(&fixture).await;
            let code = sealed(&fixture, &first, "*", 1).await.remove(0);
            let gate = Gate::dying_at(boundary);
            let dying = broker_at(&fixture, gate.clone()).await;
            if gate.run(take(&dying, &code, 1)).await.is_some() {
                break;
            }
            drop(dying);
            let after = broker(&fixture).await;
            if retried {
                let grant = take(&after, &code, 1).await.expect(&context);
                assert_eq!((grant.status, fixture.objects()), (GrantStatus::Active, 3), "{context}");
                assert_eq!(fixture.grants().await.len(), 1, "{context}: a retry joins");
                assert_eq!(events(&after, &grant.id).await[0].kind, EventKind::BreakGlass, "{context}");
            }
            for _ in 0..3 {
                fixture.pass_time(A_WHILE);
                fixture.settle(&after).await;
            }
            fixture.assert_nothing_left(&context).await;
            boundary += 1;
        }
        assert!(boundary > 2, "only {boundary} boundaries were found");
    }
}

#[tokio::test]
async fn a_request_that_arrives_after_its_revoke_gets_no_grant() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let code = sealed(&fixture, &broker, "*", 1).await.remove(0);
    let by_key = Revocable::KeyOf { agent: AGENT.parse().unwrap(), key: key(1) };
    assert_eq!(revoke(&broker, &code, &by_key).await.unwrap_err(), ErrorCode::GrantNotFound);
    assert_eq!(take(&broker, &code, 1).await.unwrap_err(), ErrorCode::GrantEnded);
    take(&broker, &code, 2).await.unwrap();
}
