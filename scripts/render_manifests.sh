#!/usr/bin/env bash
# Write the manifests that operators apply again, from the overlays.
set -euo pipefail
cd "$(dirname "$0")/../deploy/k8s"
for overlay in canary production; do
  file="retriever-v0-$overlay.yaml"
  {
    printf '# Written by scripts/render_manifests.sh from overlays/%s; change that, not this.\n' "$overlay"
    kubectl kustomize "overlays/$overlay"
  } > "$file.new"
  mv "$file.new" "$file"
done
