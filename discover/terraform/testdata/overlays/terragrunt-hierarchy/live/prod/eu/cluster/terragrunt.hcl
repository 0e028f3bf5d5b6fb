# What another configuration depends on.
