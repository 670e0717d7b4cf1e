"""tuspy, as the tests let it upload: upload.py ENDPOINT PATH KEY TOKEN. Ends when the file is there."""

import sys

from tusclient.client import TusClient

endpoint, path, key, token = sys.argv[1:]
client = TusClient(endpoint, headers={"Authorization": f"Bearer {token}"})
uploader = client.uploader(
    path,
    metadata={"key": key, "filename": "film.mp4", "filetype": "video/mp4"},
    chunk_size=24 * 1024 * 1024,
    # It goes on at once after a cut, and gives up where it gets nowhere.
    retries=30,
    retry_delay=0.02,
)
uploader.upload()
