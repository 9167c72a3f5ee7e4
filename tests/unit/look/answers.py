"""What nvidia-smi and rocm-smi print, in the forms of their manuals."""

SMI = "NVIDIA H100 80GB HBM3, 81559\nNVIDIA H100 80GB HBM3, 81559"
ROCM = """{"card0": {"Card series": "MI250X", "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "1"},
"card1": {"Card series": "MI250X", "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "1"},
"system": {"Driver version": "6.3.6"}}"""
