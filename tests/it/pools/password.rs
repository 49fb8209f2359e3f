//! The passwords by which workers reach Redis.

use std::sync::Arc;

use relay::operator::workers::desired::Subject;
use relay::operator::workers::password::{Access, Users, secret};
use serde_json::json;

use super::pool;

fn password(of: &str, uid: &str) -> String {
    let url_for = Arc::new(|_: &str, _: &str| Ok(String::new()));
    let access = Access { secret: of.to_owned(), users: Users::Managed, url_for, ca: None };
    access.password(Subject { pool: &pool(json!({})), uid })
}

#[test]
fn a_pool_that_is_made_again_has_the_password_that_it_had() {
    assert_eq!(password("secret", "u-1"), password("secret", "u-2"));
    assert_ne!(password("secret", "u-1"), password("another", "u-1"));
    assert_eq!(password("secret", "u-1").len(), 64);
}

#[test]
fn passwords_hang_on_a_password_alone() {
    let database = "postgres://relay:p%40ss@db:5432/relay?sslmode=require";
    assert_eq!(secret(Some("word"), Some(database)), secret(Some("word"), None));
    assert_ne!(secret(Some("word"), None), secret(Some("other"), None));
    // Without one in Redis, that of the database.
    let without = secret(None, Some(database));
    assert_eq!(without, secret(Some(""), Some("postgres://u:p%40ss@elsewhere/x")));
    assert_ne!(without, secret(None, Some("postgres://relay:other@db:5432/relay")));
    assert_ne!(without, secret(Some("p%40ss"), None));
    let none = secret(None, None);
    for empty in ["postgres://db/relay", "postgres://relay@db", "postgres://relay:@db", "no url"] {
        assert_eq!(secret(None, Some(empty)), none, "{empty}");
    }
}
