"""The commands of this room, one file each, as in `appview/commands`."""
