"""The daemon: broker, actors, scheduler, web and the supervisor that starts them. All decisions are the engine's."""
