// Who goes where: scores, the best k of them, and their weights.

func.func @select(%key: tensor<?x7xf32> {moe.dims = ["T", 7]}) -> (tensor<?x3xi32> {moe.dims = ["T", 3]}) {
  %idx = moe.select %key top 3 : tensor<?x7xf32>
  return %idx : tensor<?x3xi32>
}

func.func @plain(%logits: tensor<?x7xf32> {moe.dims = ["T", 7]})
    -> (tensor<?x3xi32> {moe.dims = ["T", 3]}, tensor<?x3xf32> {moe.dims = ["T", 3]}) {
  %s = moe.score softmax %logits : tensor<?x7xf32>
  %idx = moe.select %s top 3 : tensor<?x7xf32>
  %w = moe.weigh %s at %idx : tensor<?x7xf32>, tensor<?x3xi32>
  return %idx, %w : tensor<?x3xi32>, tensor<?x3xf32>
}

func.func @normalized(%logits: tensor<?x7xf32> {moe.dims = ["T", 7]})
    -> (tensor<?x3xi32> {moe.dims = ["T", 3]}, tensor<?x3xf32> {moe.dims = ["T", 3]}) {
  %s = moe.score softmax %logits : tensor<?x7xf32>
  %idx = moe.select %s top 3 : tensor<?x7xf32>
  %w = moe.weigh %s at %idx norm sum : tensor<?x7xf32>, tensor<?x3xi32>
  return %idx, %w : tensor<?x3xi32>, tensor<?x3xf32>
}

func.func @first(%logits: tensor<?x7xf32> {moe.dims = ["T", 7]})
    -> (tensor<?x1xi32> {moe.dims = ["T", 1]}, tensor<?x1xf32> {moe.dims = ["T", 1]}) {
  %s = moe.score softmax %logits : tensor<?x7xf32>
  %idx = moe.select %s top 1 : tensor<?x7xf32>
  %w = moe.weigh %s at %idx : tensor<?x7xf32>, tensor<?x1xi32>
  return %idx, %w : tensor<?x1xi32>, tensor<?x1xf32>
}

func.func @every(%logits: tensor<?x7xf32> {moe.dims = ["T", 7]})
    -> (tensor<?x7xi32> {moe.dims = ["T", 7]}, tensor<?x7xf32> {moe.dims = ["T", 7]}) {
  %s = moe.score softmax %logits : tensor<?x7xf32>
  %idx = moe.select %s top 7 : tensor<?x7xf32>
  %w = moe.weigh %s at %idx norm sum : tensor<?x7xf32>, tensor<?x7xi32>
  return %idx, %w : tensor<?x7xi32>, tensor<?x7xf32>
}

func.func @only(%logits: tensor<?x1xf32> {moe.dims = ["T", 1]})
    -> (tensor<?x1xi32> {moe.dims = ["T", 1]}, tensor<?x1xf32> {moe.dims = ["T", 1]}) {
  %s = moe.score softmax %logits : tensor<?x1xf32>
  %idx = moe.select %s top 1 : tensor<?x1xf32>
  %w = moe.weigh %s at %idx : tensor<?x1xf32>, tensor<?x1xi32>
  return %idx, %w : tensor<?x1xi32>, tensor<?x1xf32>
}

func.func @wide(%logits: tensor<?x64xf32> {moe.dims = ["T", 64]})
    -> (tensor<?x8xi32> {moe.dims = ["T", 8]}, tensor<?x8xf32> {moe.dims = ["T", 8]}) {
  %s = moe.score softmax %logits : tensor<?x64xf32>
  %idx = moe.select %s top 8 : tensor<?x64xf32>
  %w = moe.weigh %s at %idx norm sum : tensor<?x64xf32>, tensor<?x8xi32>
  return %idx, %w : tensor<?x8xi32>, tensor<?x8xf32>
}
