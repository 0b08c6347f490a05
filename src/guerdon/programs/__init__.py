"""Tenants: programs, their domains, keys and funding; who may administer them."""
