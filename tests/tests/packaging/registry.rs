//! A registry that speaks as much of the OCI distribution spec as pulling asks for, in memory and on this machine:
//! manifests by tag and by digest, blobs by digest, a token for whoever asks its token server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const WASM: &str = "application/wasm";

/// What stands in the place of a media type where one is sent elsewhere, before the URL.
const ELSEWHERE: &str = "elsewhere ";

/// Its content, by path: media type and bytes.
type Content = BTreeMap<String, (String, Vec<u8>)>;

pub(crate) struct Registry {
    address: String,
    content: Arc<Mutex<Content>>,
}

/// `sha256:` and the digest in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl Registry {
    /// One that answers nobody without this token, where there is one. It lives as long as the test's process.
    pub(crate) fn start(token: Option<&'static str>) -> Self {
        Self::start_for(token, None)
    }

    /// The same, whose token server gives it to this user alone: the value of `Authorization`.
    pub(crate) fn start_for(token: Option<&'static str>, user: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content = Arc::new(Mutex::new(Content::new()));
        let (shared, host) = (Arc::clone(&content), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shared, (token, user), &host);
            }
        });
        Self { address, content }
    }

    /// Where it is: host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A reference to a version in it.
    pub(crate) fn reference(&self, version: &str) -> String {
        format!("oci://{}/{version}", self.address)
    }

    /// Puts a component under a tag, as tools for components do; answers the digest of its manifest.
    pub(crate) fn push(&self, repository: &str, tag: &str, component: &[u8]) -> String {
        self.push_layer(repository, tag, WASM, component)
    }

    pub(crate) fn push_layer(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let config = br#"{"architecture":"wasm","os":"wasip2"}"#;
        for (media_type, blob) in [("application/vnd.wasm.config.v0+json", &config[..]), (media_type, bytes)] {
            self.put(&format!("/v2/{repository}/blobs/{}", sha256(blob)), media_type, blob);
        }
        let descriptor = |media_type: &str, blob: &[u8]| json!({"mediaType": media_type, "digest": sha256(blob), "size": blob.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.wasm.config.v0+json", config),
            "layers": [descriptor(media_type, bytes)],
        });
        self.put_manifest(repository, tag, MANIFEST, &manifest)
    }

    /// The same behind an index with a manifest for another platform.
    pub(crate) fn push_index(&self, repository: &str, tag: &str, component: &[u8]) {
        let digest = self.push(repository, "behind", component);
        let other = self.push_layer(repository, "other", "application/x-tar", b"tar");
        let of = |digest: &str, architecture: &str| {
            let platform = json!({"architecture": architecture, "os": "any"});
            json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform})
        };
        let manifests = [of(&other, "amd64"), of(&digest, "wasm")];
        self.put_manifest(
            repository,
            tag,
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}),
        );
    }

    fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = sha256(&bytes);
        for name in [tag, &digest] {
            self.put(&format!("/v2/{repository}/manifests/{name}"), media_type, &bytes);
        }
        digest
    }

    fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        self.content.lock().unwrap().insert(path.to_owned(), (media_type.to_owned(), bytes.to_vec()));
    }

    /// Bytes at a URL of their own.
    pub(crate) fn serve(&self, path: &str, bytes: &[u8]) -> String {
        self.put(path, WASM, bytes);
        format!("http://{}{path}", self.address)
    }

    /// A URL that sends whoever asks to another one.
    pub(crate) fn redirect(&self, path: &str, to: &str) -> String {
        self.put(path, &format!("{ELSEWHERE}{to}"), b"");
        format!("http://{}{path}", self.address)
    }

    /// Lies from now on: another content under every digest of this one.
    pub(crate) fn replace_blob(&self, bytes: &[u8], lie: &[u8]) {
        let end = sha256(bytes);
        for (_, (_, content)) in self.content.lock().unwrap().iter_mut().filter(|(path, _)| path.ends_with(&end)) {
            *content = lie.to_vec();
        }
    }

    /// Lies from now on about a manifest.
    pub(crate) fn replace_manifest(&self, repository: &str, digest: &str, lie: &[u8]) {
        self.put(&format!("/v2/{repository}/manifests/{digest}"), MANIFEST, lie);
    }
}

fn answer(mut stream: TcpStream, content: &Mutex<Content>, (token, user): (Option<&str>, Option<&str>), host: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let says = |wanted: &str| headers.iter().any(|header| header.eq_ignore_ascii_case(wanted));
    let allowed = token.is_none_or(|token| says(&format!("authorization: Bearer {token}")));
    let known = user.is_none_or(|user| says(&format!("authorization: {user}")));
    let (status, extra, body) = if target.starts_with("/token?service=here&scope=") && !known {
        ("401 Unauthorized", String::new(), Vec::new())
    } else if target.starts_with("/token?service=here&scope=") {
        ("200 OK", String::new(), serde_json::to_vec(&json!({ "token": token })).unwrap())
    } else if !allowed {
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"repository:any:pull\"");
        ("401 Unauthorized", format!("www-authenticate: {challenge}\r\n"), Vec::new())
    } else {
        match content.lock().unwrap().get(&target) {
            Some((elsewhere, _)) if elsewhere.starts_with(ELSEWHERE) => {
                let to = elsewhere.trim_start_matches(ELSEWHERE);
                ("302 Found", format!("location: {to}\r\n"), Vec::new())
            }
            Some((media_type, bytes)) => ("200 OK", format!("content-type: {media_type}\r\n"), bytes.clone()),
            None => ("404 Not Found", String::new(), Vec::new()),
        }
    };
    let head = format!("HTTP/1.1 {status}\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that goes away before the end does not matter.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
