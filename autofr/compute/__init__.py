"""Where tensors live and how processes share work: device, seeding, mesh, collectives, precision."""
