//! Who may have what: the tokens of a request, and what they open.
//!
//! In scope: where a token stands in a request, and which of them counts. Not in scope: what is in a token (`sign/token`).
//!
//! Without playback keys everything is open, and tokens are not looked at. With them, whatever names or opens an object is closed
//! to strangers.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use crate::error::{Error, ErrorKind};
use crate::http::plan::Audience;
use crate::http::{forwarded, route};
use crate::serve::lanes::Request;
use crate::sign::bearer::AdminToken;
use crate::sign::token::{self, Claims, KeyRing, Wanted};

/// The keys that tokens are good by.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Those of playback tokens; `None` where everything is open.
    pub(crate) keys: Option<KeyRing>,
    /// The operator's; `None` where nobody is.
    pub(crate) admin: Option<AdminToken>,
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Anybody, for nothing is closed.
    Open,
    /// The operator.
    Operator,
    /// The bearer of a token. What is given out on its strength must not do more than it does.
    Token(Claims),
}

/// Who asks, and when.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) client: IpAddr,
    /// In seconds since 1970.
    pub(crate) now: u64,
}

impl Caller {
    /// The caller of this request, at this time.
    pub(crate) fn of(request: &Request, peer: IpAddr, trusted: &[IpNet], now: SystemTime) -> Self {
        let client = forwarded::client(peer, request.fields.get("x-forwarded-for"), trusted);
        // A clock before 1970 lets every token be good, so it is taken for one at the end of time.
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs());
        Self { client, now }
    }
}

impl Access {
    /// Whether this request may have the bytes of what it wants: with a playback token only.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`] without a good token, [`ErrorKind::Forbidden`] where it is for something or somebody else.
    pub(crate) fn media(&self, request: &Request, caller: Caller, wanted: Wanted<'_>) -> Result<Pass, Error> {
        let Some(keys) = &self.keys else { return Ok(Pass::Open) };
        let token = token_of(request).ok_or(ErrorKind::Unauthorized)?;
        let claims = token::verify(keys, &token, caller.now)?;
        claims.permit(wanted, caller.client)?;
        Ok(Pass::Token(claims))
    }

    /// Whether this request may know of what it wants, or have a link to it: with a playback token, or as the operator.
    ///
    /// # Errors
    /// As [`media`](Self::media).
    pub(crate) fn data(&self, request: &Request, caller: Caller, wanted: Wanted<'_>) -> Result<Pass, Error> {
        if self.keys.is_some() && self.is_operator(request) {
            return Ok(Pass::Operator);
        }
        self.media(request, caller, wanted)
    }

    /// The keys, for whoever may mint with them.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] where there are no keys, or nobody who may; [`ErrorKind::Unauthorized`] for all but the
    /// operator.
    pub(crate) fn mint(&self, request: &Request) -> Result<&KeyRing, Error> {
        let (Some(keys), Some(_)) = (&self.keys, &self.admin) else { return Err(ErrorKind::NotConfigured.into()) };
        if self.is_operator(request) { Ok(keys) } else { Err(ErrorKind::Unauthorized.into()) }
    }

    /// Whether anybody may change what is in the store.
    pub(crate) fn may_change(&self) -> bool {
        self.admin.is_some() && cfg!(feature = "uploads")
    }

    /// Whether this request may change what is in the store: as the operator.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no operator, and so nothing to be changed by anybody; [`ErrorKind::Unauthorized`] for
    /// all others.
    pub(crate) fn change(&self, request: &Request) -> Result<(), Error> {
        match &self.admin {
            None => Err(ErrorKind::NotFound.into()),
            Some(_) if self.is_operator(request) => Ok(()),
            Some(_) => Err(ErrorKind::Unauthorized.into()),
        }
    }

    fn is_operator(&self, request: &Request) -> bool {
        self.admin.as_ref().zip(bearer(request)).is_some_and(|(admin, given)| admin.matches(given))
    }
}

impl Pass {
    /// How long what is given out may be good, where so long is asked for: not longer than the token that it is given for.
    pub(crate) fn limit(&self, lifetime: Duration, now: u64) -> Duration {
        match self {
            Self::Token(claims) => lifetime.min(Duration::from_secs(claims.expires_at.saturating_sub(now))),
            Self::Open | Self::Operator => lifetime,
        }
    }

    /// Who may be given the same answer by a cache in between: whoever has the address, where a token stands in it that is good
    /// from everywhere.
    pub(crate) fn audience(&self, request: &Request) -> Audience {
        match self {
            Self::Open => Audience::Anybody,
            Self::Token(claims) if claims.network.is_none() && token_of_address(request).is_some() => Audience::Anybody,
            Self::Token(_) | Self::Operator => Audience::Asker,
        }
    }

    /// The addresses for which it may be good.
    pub(crate) fn network(&self) -> Option<IpNet> {
        match self {
            Self::Token(claims) => claims.network,
            Self::Open | Self::Operator => None,
        }
    }
}

/// The token of a request. Of several, the one that is nearest to the key counts: a link with a token is for whom it was made,
/// whatever else a browser sends along.
fn token_of(request: &Request) -> Option<Cow<'_, str>> {
    token_of_address(request).or_else(|| bearer(request).map(Cow::Borrowed))
}

/// The token in the address of a request, where there is one: it counts, good or not.
fn token_of_address(request: &Request) -> Option<Cow<'_, str>> {
    let (path, query) = route::split(&request.target);
    let in_path = route::token_of_path(path).map(Cow::Borrowed);
    in_path.or_else(|| route::token_of_query(query))
}

/// The credentials of `Authorization: Bearer` (RFC 6750 section 2.1; RFC 9110 section 11.1: the scheme in any case).
fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.fields.get("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKey;
    use crate::sign::token::{Scope, mint};

    const NOW: u64 = 1_800_000_000;

    fn access() -> Access {
        Access { keys: KeyRing::parse("k1:0123456789abcdef0123456789abcdef").ok(), admin: AdminToken::new("the-operator") }
    }

    fn token(scope: Scope) -> String {
        let claims = Claims { scope, expires_at: NOW + 60, not_before: None, network: None };
        mint(access().keys.as_ref().unwrap(), &claims)
    }

    fn request(target: &str, authorization: Option<&str>) -> Request {
        let fields = authorization.map(|value| ("authorization", value)).into_iter().collect();
        Request { method: "GET".into(), target: target.into(), fields, body: Vec::new() }
    }

    /// What media and data answer to a request for `a/film.mp4`: 200 stands for "let in".
    #[track_caller]
    fn check(target: &str, authorization: Option<&str>, media: u16, data: u16) {
        let (film, request) = (ObjectKey::new("a/film.mp4").unwrap(), request(target, authorization));
        let caller = Caller { client: [192, 0, 2, 1].into(), now: NOW };
        let status = |verdict: Result<Pass, Error>| verdict.map_or_else(|error| error.kind().status(), |_| 200);
        let wanted = Wanted::Object(&film);
        let got = (status(access().media(&request, caller, wanted)), status(access().data(&request, caller, wanted)));
        assert_eq!(got, (media, data), "{target} {authorization:?}");
        // Without keys all of it is open, and nothing of it is looked at.
        assert_eq!(status(Access::default().media(&request, caller, wanted)), 200);
        assert_eq!(status(Access::default().data(&request, caller, wanted)), 200);
    }

    #[test]
    fn where_a_token_stands() {
        let good = token(Scope::Key(ObjectKey::new("a/film.mp4").unwrap()));
        let other = token(Scope::Prefix("b/".into()));
        check("/media/a/film.mp4", None, 401, 401);
        check(&format!("/media/~{good}/a/film.mp4"), None, 200, 200);
        check(&format!("/media/a/film.mp4?token={good}"), None, 200, 200);
        check(&format!("/media/a/film.mp4?x&%74oken={good}"), None, 200, 200);
        check("/media/a/film.mp4", Some(&format!("Bearer {good}")), 200, 200);
        check("/media/a/film.mp4", Some(&format!("bearer  {good} ")), 200, 200);
        for bad in [good.clone(), format!("Basic {good}"), format!("Bearer{good}"), "Bearer".into(), "Bearer ".into()] {
            check("/media/a/film.mp4", Some(&bad), 401, 401);
        }
        check("/media/a/film.mp4", Some(&format!("Bearer {good}, Bearer {good}")), 401, 401);
        check(&format!("/media/~{other}/a/film.mp4"), None, 403, 403);
        check(&format!("/media/~{good}x/a/film.mp4"), None, 401, 401);
        check(&format!("/media/%7E{good}/a/film.mp4"), None, 401, 401);
        check("/media/~/a/film.mp4", None, 401, 401);
        check("/media/a/film.mp4?token=", None, 401, 401);
        // The one nearest to the key counts, and not the best.
        check(&format!("/media/~{other}/a/film.mp4?token={good}"), Some(&format!("Bearer {good}")), 403, 403);
        check(&format!("/media/~{good}/a/film.mp4?token={other}"), Some("Bearer x"), 200, 200);
        check(&format!("/media/a/film.mp4?token=x&token={good}"), None, 401, 401);
        check(&format!("/media/a/film.mp4?token={other}"), Some(&format!("Bearer {good}")), 403, 403);
    }

    #[test]
    fn the_operator_sees_everything_and_mints() {
        check("/media/a/film.mp4", Some("Bearer the-operator"), 401, 200);
        check("/media/a/film.mp4", Some("BEARER the-operator"), 401, 200);
        check("/media/a/film.mp4", Some("Bearer the-operatoR"), 401, 401);
        check("/media/a/film.mp4?token=the-operator", None, 401, 401);
        let status = |access: &Access, authorization: Option<&str>| {
            access.mint(&request("/api/tokens", authorization)).map_or_else(|error| error.kind().status(), |_| 200)
        };
        assert_eq!(status(&access(), Some("Bearer the-operator")), 200);
        let everything = format!("Bearer {}", token(Scope::Prefix(String::new())));
        assert_eq!(status(&access(), Some(&everything)), 401);
        assert_eq!(status(&access(), None), 401);
        assert_eq!(status(&Access { admin: None, ..access() }, Some("Bearer the-operator")), 404);
        assert_eq!(status(&Access { keys: None, ..access() }, Some("Bearer the-operator")), 404);
    }

    #[test]
    fn who_may_be_given_what_a_cache_holds() {
        let film = ObjectKey::new("a/film.mp4").unwrap();
        let everywhere = token(Scope::Key(film.clone()));
        let claims = Claims {
            scope: Scope::Key(film.clone()),
            expires_at: NOW + 60,
            not_before: None,
            network: "192.0.2.0/24".parse().ok(),
        };
        let bound = mint(access().keys.as_ref().unwrap(), &claims);
        let caller = Caller { client: [192, 0, 2, 1].into(), now: NOW };
        for (token, in_address) in [(&everywhere, Audience::Anybody), (&bound, Audience::Asker)] {
            let bearer = format!("Bearer {token}");
            for (target, authorization, want) in [
                (format!("/media/~{token}/a/film.mp4"), None, in_address),
                (format!("/media/a/film.mp4?token={token}"), Some("Bearer x"), in_address),
                ("/media/a/film.mp4".into(), Some(bearer.as_str()), Audience::Asker),
            ] {
                let request = request(&target, authorization);
                let pass = access().media(&request, caller, Wanted::Object(&film)).unwrap();
                assert_eq!(pass.audience(&request), want, "{target}");
                // Where everything is open, a field that is not looked at lets nobody in.
                assert_eq!(Pass::Open.audience(&request), Audience::Anybody);
            }
        }
    }

    #[test]
    fn the_operator_alone_changes_anything() {
        let status = |access: &Access, authorization: Option<&str>| {
            access.change(&request("/api/videos/a", authorization)).map_or_else(|error| error.kind().status(), |()| 200)
        };
        let everything = format!("Bearer {}", token(Scope::Prefix(String::new())));
        for keys in [None, access().keys] {
            let access = Access { keys, ..access() };
            assert_eq!(status(&access, Some("Bearer the-operator")), 200);
            for bad in [None, Some("Bearer the-operatoR"), Some("Basic the-operator"), Some(&*everything)] {
                assert_eq!(status(&access, bad), 401, "{bad:?}");
            }
            assert_eq!(status(&Access { admin: None, ..access }, Some("Bearer the-operator")), 404);
        }
    }

    #[test]
    fn what_is_given_out_does_no_more_than_its_token() {
        let claims = Claims {
            scope: Scope::Prefix(String::new()),
            expires_at: NOW + 60,
            not_before: None,
            network: "192.0.2.0/24".parse().ok(),
        };
        let pass = Pass::Token(claims);
        assert_eq!(pass.limit(Duration::from_secs(59), NOW), Duration::from_secs(59));
        assert_eq!(pass.limit(Duration::from_secs(61), NOW), Duration::from_mins(1));
        assert_eq!(pass.limit(Duration::from_secs(61), NOW + 61), Duration::ZERO);
        assert_eq!(pass.network(), "192.0.2.0/24".parse().ok());
        assert_eq!(Pass::Operator.limit(Duration::MAX, NOW), Duration::MAX);
        assert_eq!(Pass::Open.network(), None);
    }
}
