//! Builders of plugin images, good ones and hostile ones.
