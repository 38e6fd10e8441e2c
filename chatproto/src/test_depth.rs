//! The depth of the tests that run many cases. By default they run a part of them. With
//! `CHATPROTO_DEEP=1` they run all of them, as `.ci/run` does.

pub(crate) fn is_deep() -> bool {
    std::env::var_os("CHATPROTO_DEEP").is_some()
}
