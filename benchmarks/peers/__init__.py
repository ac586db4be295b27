"""Other software beside ours, through its normal client, in the same run."""
