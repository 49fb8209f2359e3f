//! What is said between the store and its server stays between them.

use std::path::Path;

use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Store, StoreError};

use crate::support::{PostgresServer, certificates};

/// Nobody is let in without TLS.
fn with_tls(folder: &Path) {
    certificates(folder);
    let door = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(folder.join("data/pg_hba.conf"), door).expect("who may come");
}

#[tokio::test]
async fn the_database_is_reached_by_tls_as_its_url_says() {
    let tls = ["ssl=on", "ssl_cert_file=../server.crt", "ssl_key_file=../server.key"];
    let server = PostgresServer::start(&tls, with_tls).await;
    migrate::up(&server.url("?sslmode=require"), None).await.expect("migrated");
    let connect = async |url: &str| {
        let settings = PoolSettings { min_connections: 0, ..PoolSettings::new(url) };
        PostgresStore::connect(&settings).await
    };
    let full = |root: &str| format!("?sslmode=verify-full&sslrootcert={}", server.file(root));
    for parameters in ["?sslmode=require", &full("ca.crt"), ""] {
        let store = connect(&server.url(parameters)).await.expect(parameters);
        store.ping().await.expect("an answer");
        store.close().await;
    }
    let refused = async |url: String| match connect(&url).await {
        Err(StoreError::Refused(why)) => {
            assert!(!why.contains(server.password()), "{why}");
            why
        }
        other => panic!("{url}: {:?}", other.map(|_| "a store")),
    };
    // Another authority, none that is known, another name than the certificate's, no such file.
    for url in [
        server.url(&full("other.crt")),
        server.url("?sslmode=verify-full"),
        server.url_at("localhost", &full("ca.crt")),
        server.url(&full("absent.crt")),
    ] {
        let said = refused(url).await;
        assert!(said.contains("no TLS with the server") && said.contains("sslrootcert"), "{said}");
    }
    let said = refused(server.url("?sslmode=disable")).await;
    assert!(said.contains("no encryption"), "{said}");
}
