//! Properties of generated bodies.
