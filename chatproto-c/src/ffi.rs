//! What every function of the interface has around its one call: the boundary that no panic
//! passes, out-parameters that are written first, pointers that are checked, handles that stay an
//! error after a defect.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::result::{chatproto_result, fail};

/// Runs `body`; a panic becomes a result.
#[inline]
pub(crate) fn boundary(body: impl FnOnce() -> Result<(), chatproto_result>) -> chatproto_result {
    // what a panic may have left half done is in a handle, and those are poisoned
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => chatproto_result::Ok,
        Ok(Err(result)) => result,
        Err(payload) => panicked(payload),
    }
}

/// Runs what gives nothing back, such as freeing.
pub(crate) fn quietly(body: impl FnOnce()) {
    boundary(|| {
        body();
        Ok(())
    });
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> chatproto_result {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or(payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    let result =
        fail(chatproto_result::Panicked, format_args!("a defect of the library was met: {text}"));
    if !payload.is::<&str>() && !payload.is::<String>() {
        // dropping what is unknown might panic again
        std::mem::forget(payload);
    }
    result
}

/// Something that C holds a pointer to. After a panic it is poisoned for good.
#[derive(Debug, Default)]
pub(crate) struct Handle<T> {
    inner: T,
    poisoned: AtomicBool,
}

impl<T> Handle<T> {
    pub(crate) fn new(inner: T) -> Self {
        Handle { inner, poisoned: AtomicBool::new(false) }
    }

    /// Uses it from one thread of several.
    pub(crate) fn shared<R>(
        &self,
        body: impl FnOnce(&T) -> Result<R, chatproto_result>,
    ) -> Result<R, chatproto_result> {
        let watch = Watch::new(&self.poisoned)?;
        let result = body(&self.inner);
        std::mem::forget(watch);
        result
    }

    /// Uses it alone.
    pub(crate) fn alone<R>(
        &mut self,
        body: impl FnOnce(&mut T) -> Result<R, chatproto_result>,
    ) -> Result<R, chatproto_result> {
        let watch = Watch::new(&self.poisoned)?;
        let result = body(&mut self.inner);
        std::mem::forget(watch);
        result
    }
}

/// Poisons the handle if it is dropped, which only a panic does.
struct Watch<'a>(&'a AtomicBool);

impl<'a> Watch<'a> {
    fn new(poisoned: &'a AtomicBool) -> Result<Self, chatproto_result> {
        if poisoned.load(Relaxed) {
            return Err(fail(
                chatproto_result::Poisoned,
                format_args!("the handle was given up after a defect: free it"),
            ));
        }
        Ok(Watch(poisoned))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An out-parameter, with a value in it from the start.
///
/// # Safety
/// `pointer` is NULL or points to a `T` that may be written while `'a` lasts; what is there need
/// not be valid.
#[inline]
pub(crate) unsafe fn out<'a, T>(
    pointer: *mut T,
    value: T,
    what: &str,
) -> Result<&'a mut T, chatproto_result> {
    if pointer.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: writable by the caller's promise; valid once it is written
    unsafe {
        pointer.write(value);
        Ok(&mut *pointer)
    }
}

/// What a handle or a struct of the caller's points to.
///
/// # Safety
/// `pointer` is NULL or points to a valid `T` that nobody changes while `'a` lasts.
#[inline]
pub(crate) unsafe fn at<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, chatproto_result> {
    // SAFETY: the caller's promise
    unsafe { pointer.as_ref() }.ok_or_else(|| is_null(what))
}

/// The same for one that is used by one thread at a time.
///
/// # Safety
/// `pointer` is NULL or points to a valid `T` that nobody else uses while `'a` lasts.
pub(crate) unsafe fn at_mut<'a, T>(
    pointer: *mut T,
    what: &str,
) -> Result<&'a mut T, chatproto_result> {
    // SAFETY: the caller's promise
    unsafe { pointer.as_mut() }.ok_or_else(|| is_null(what))
}

/// Hands something over to C.
pub(crate) fn give_away<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes it back, to be dropped. NULL is nothing.
///
/// # Safety
/// `pointer` is NULL or came from [`give_away`] and was not taken back.
pub(crate) unsafe fn take_back<T>(pointer: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}

#[cold]
fn is_null(what: &str) -> chatproto_result {
    fail(chatproto_result::NullPointer, format_args!("`{what}` is NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_result_and_poisons_the_handle() {
        let mut handle = Handle::new(1);
        let panics = || -> Result<(), chatproto_result> { panic!("on purpose") };
        assert_eq!(boundary(|| handle.alone(|_| panics())), chatproto_result::Panicked);
        assert_eq!(boundary(|| handle.alone(|_| Ok(()))), chatproto_result::Poisoned);
        assert_eq!(boundary(|| handle.shared(|_| Ok(()))), chatproto_result::Poisoned);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_stays_inside() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(boundary(|| std::panic::panic_any(Bad)), chatproto_result::Panicked);
    }
}
