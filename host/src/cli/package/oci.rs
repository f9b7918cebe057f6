//! Pulls a component from a registry, by the OCI distribution spec: a manifest, and in it one layer of
//! `application/wasm`, as `wkg` and other tools for components push them.
//!
//! Everything is held against a digest: the manifest against that of the reference or of the registry's index, the layer
//! against the manifest's.

use serde::Deserialize;
use ureq::http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use ureq::http::{Request, Response};
use ureq::{Body, ResponseExt as _};

use super::super::error::{CliError, Exit};
use super::fetch::{COMPONENT_BYTES_MAX, Fetcher, body, hold};
use super::oci_auth;
use super::reference::{Digest, Reference, is_local};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What a layer is that holds a component.
const WASM: &str = "application/wasm";
/// Largest manifest: what the distribution spec asks registries to take.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// How the registry behind the name `docker.io` is reached.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A manifest, or an index of manifests.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

/// A registry that is asked for one component.
pub(super) struct Registry<'a> {
    fetcher: &'a Fetcher,
    reference: &'a Reference,
    authorization: Option<String>,
}

impl<'a> Registry<'a> {
    pub(super) const fn new(fetcher: &'a Fetcher, reference: &'a Reference) -> Self {
        Self { fetcher, reference, authorization: None }
    }

    /// Gets the component.
    pub(super) fn component(&mut self) -> Result<Vec<u8>, CliError> {
        let Reference { tag, digest, .. } = self.reference;
        let mut manifest = self.manifest(tag.as_deref().filter(|_| digest.is_none()), digest.as_ref())?;
        if !manifest.manifests.is_empty() {
            let digest = self.of_index(&manifest.manifests)?;
            manifest = self.manifest(None, Some(&digest))?;
        }
        let layer = self.layer(&manifest.layers)?;
        if layer.size > COMPONENT_BYTES_MAX {
            return Err(self.odd(format_args!("its component has {} bytes, which no host takes", layer.size)));
        }
        let digest = self.digest(&layer.digest)?;
        let bytes = self.get(&format!("blobs/{digest}"), WASM, COMPONENT_BYTES_MAX)?;
        hold(&bytes, &digest, &format!("the component of {}", self.reference))?;
        Ok(bytes)
    }

    /// The manifest of a tag, or of a digest, which it is held against.
    fn manifest(&mut self, tag: Option<&str>, digest: Option<&Digest>) -> Result<Manifest, CliError> {
        let what = digest.map(ToString::to_string).or_else(|| tag.map(str::to_owned)).unwrap_or_default();
        let bytes = self.get(&format!("manifests/{what}"), &format!("{MANIFEST}, {INDEX}"), MANIFEST_BYTES_MAX)?;
        if let Some(digest) = digest {
            hold(&bytes, digest, &format!("the manifest of {}", self.reference))?;
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| self.odd(format_args!("its manifest is not understood: {error}")))
    }

    /// Which manifest of an index is for WebAssembly.
    fn of_index(&self, manifests: &[Descriptor]) -> Result<Digest, CliError> {
        let for_wasm = |found: &&Descriptor| {
            found.platform.as_ref().is_some_and(|platform| platform.architecture.starts_with("wasm"))
        };
        let found = manifests.iter().find(for_wasm).or_else(|| manifests.first().filter(|_| manifests.len() == 1));
        let found = found.ok_or_else(|| self.odd("it is there for several platforms, and none of them is wasm"))?;
        self.digest(&found.digest)
    }

    fn layer<'m>(&self, layers: &'m [Descriptor]) -> Result<&'m Descriptor, CliError> {
        let mut components = layers.iter().filter(|layer| layer.media_type == WASM);
        match (components.next(), components.next()) {
            (Some(layer), None) => Ok(layer),
            (None, _) => {
                let kinds: Vec<_> = layers.iter().map(|layer| layer.media_type.as_str()).collect();
                let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
                Err(self
                    .odd(format_args!("it holds {kinds}, and no layer of {WASM}: is it an image of something else?")))
            }
            _ => Err(self.odd(format_args!("it holds several layers of {WASM}, and a plugin is one component"))),
        }
    }

    fn digest(&self, text: &str) -> Result<Digest, CliError> {
        text.parse().map_err(|reason: String| self.odd(reason))
    }

    /// Gets a path of the repository; answers a challenge once.
    fn get(&mut self, path: &str, accept: &str, bytes_max: u64) -> Result<Vec<u8>, CliError> {
        let Reference { registry, repository, .. } = self.reference;
        let scheme = if is_local(registry) { "http" } else { "https" };
        let host = if registry == DOCKER.0 { DOCKER.1 } else { registry };
        let url = format!("{scheme}://{host}/v2/{repository}/{path}");
        let mut response = self.ask(&url, accept)?;
        // Where a registry sends one on to is not answered: the credentials are not for it.
        let is_its_own = response.get_uri().authority().is_some_and(|authority| authority.as_str() == host);
        if response.status().as_u16() == 401 && is_its_own {
            let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = challenge.unwrap_or_default().to_owned();
            self.authorization = Some(oci_auth::answer(self.fetcher, self.reference, &challenge)?);
            response = self.ask(&url, accept)?;
        }
        match response.status().as_u16() {
            200 => body(response, &url, bytes_max),
            404 => Err(CliError::new(Exit::NotFound, format_args!("oci://{} is not there", self.reference))
                .hint("is the tag right, and was it pushed? A repository that is not public looks the same")),
            status => {
                let error = CliError::new(Exit::of_status(status.max(400)), format_args!("{url} answered {status}"));
                let hint = if [401, 403].contains(&status) {
                    self.fetcher.keyring.of(registry, repository)?.hint
                } else {
                    String::new()
                };
                Err(if hint.is_empty() { error } else { error.hint(hint) })
            }
        }
    }

    fn ask(&self, url: &str, accept: &str) -> Result<Response<Body>, CliError> {
        let mut request = Request::get(url).header(ACCEPT, accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(()).map_err(|error| self.odd(error))?;
        self.fetcher.send(url, request)
    }

    fn odd(&self, what: impl std::fmt::Display) -> CliError {
        CliError::usage(format_args!("oci://{}: {what}", self.reference))
    }
}
