# Succeeds when all nodes are Ready and all pods of kube-system run or have ended well.
nodes=$(kubectl --request-timeout=10s get nodes --no-headers)
[ -n "$nodes" ] || fail "there is no node"
waiting=$(printf '%s\n' "$nodes" | awk '$2 !~ /^Ready/ { print "node " $1 " is " $2 }')
pods=$(kubectl --request-timeout=10s -n kube-system get pods --no-headers 2>/dev/null)
waiting="$waiting$(printf '%s\n' "$pods" | awk 'NF { split($2, ready, "/"); if (!(($3 == "Running" && ready[1] == ready[2]) || $3 == "Completed")) print "\npod " $1 " is " $3 " (" $2 ")" }')"
[ -z "$waiting" ] || fail "$waiting"
