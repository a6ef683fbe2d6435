"""The protocol of KALE Pool, generated from proto/. Only v1 holds code; nothing here is edited by hand."""
