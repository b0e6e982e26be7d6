//! One async method in Rust, two in Python: a blocking class and an awaitable one with the same methods.

/// Makes both classes of a room.
///
/// A body ends in a future; what it does before that runs with the GIL, and may fail on its arguments.
macro_rules! both_worlds {
    (
        $(#[$doc:meta])*
        $blocking:ident and $awaitable:ident over $inner:ty, in $world:ident;
        $(
            $(#[$attribute:meta])*
            fn $name:ident($this:ident $(, $argument:ident: $kind:ty)* $(,)?) => $convert:path $body:block
        )*
    ) => {
        $(#[$doc])*
        #[pyo3::pyclass(frozen, module = "holdfast._core")]
        pub struct $blocking {
            pub(super) inner: $inner,
        }

        $(#[$doc])*
        #[pyo3::pyclass(frozen, module = "holdfast._core")]
        pub struct $awaitable {
            pub(super) inner: $inner,
        }

        #[pyo3::pymethods]
        impl $blocking {
            $(
                $(#[$attribute])*
                #[allow(clippy::too_many_arguments)]
                fn $name(&self, py: pyo3::Python<'_>, $($argument: $kind),*) -> pyo3::PyResult<pyo3::Py<pyo3::PyAny>> {
                    let $this = self.inner.clone();
                    let future = $body;
                    let value = $crate::python::runtime::block(py, $crate::python::runtime::RuntimeOf::$world, future)?;
                    $convert(py, value)
                }
            )*
        }

        #[pyo3::pymethods]
        impl $awaitable {
            $(
                $(#[$attribute])*
                #[allow(clippy::too_many_arguments)]
                fn $name<'py>(&self, py: pyo3::Python<'py>, $($argument: $kind),*)
                    -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>>
                {
                    let $this = self.inner.clone();
                    let future = $body;
                    $crate::python::runtime::awaitable(py, $crate::python::runtime::RuntimeOf::$world, future, $convert)
                }
            )*
        }
    };
}

pub(super) use both_worlds;
