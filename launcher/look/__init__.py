"""What a short job finds out on the nodes of a site (`site probe --run`): networks, speeds, clocks, disks and GPUs."""
