# Source this file: from then on, in this shell, `kubectl apply -f` of a manifest under k8s/ carries the exported
# flags (CANARY_PERCENT and the others) in it. Every other command of kubectl is passed on untouched.
#
#   source scripts/kubectl_flags.sh
#   export CANARY_PERCENT=25
#   kubectl apply -f k8s/retriever-v0-canary.yaml
kubectl() {
  local rendered
  if [ "$#" -eq 3 ] && [ "$1" = apply ] && [ "$2" = -f ]; then
    case "$3" in
      k8s/*.yaml | ./k8s/*.yaml | deploy/k8s/*.yaml)
        rendered="$(python tools/render_k8s.py "$3")" || return
        printf '%s\n' "$rendered" | command kubectl apply -f -
        return
        ;;
    esac
  fi
  command kubectl "$@"
}
