//! Native plugins: shared libraries in the process of the host.
pub mod author {
    //! For authors.
}
